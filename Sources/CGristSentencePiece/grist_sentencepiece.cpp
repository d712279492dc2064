#include "grist_sentencepiece.h"

#include <sentencepiece_processor.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

struct grist_sentencepiece {
  sentencepiece::SentencePieceProcessor processor;
};

grist_sentencepiece *grist_sentencepiece_create(const void *model, size_t length, char *message, size_t capacity) {
  try {
    auto *result = new grist_sentencepiece;
    const auto status = result->processor.LoadFromSerializedProto(
        std::string_view(static_cast<const char *>(model), length));
    if (status.ok()) return result;
    std::snprintf(message, capacity, "%s", status.ToString().c_str());
    delete result;
  } catch (const std::exception &error) {
    std::snprintf(message, capacity, "%s", error.what());
  }
  return nullptr;
}

void grist_sentencepiece_destroy(grist_sentencepiece *processor) { delete processor; }

int32_t grist_sentencepiece_vocabulary_size(const grist_sentencepiece *processor) {
  return processor->processor.GetPieceSize();
}
int32_t grist_sentencepiece_bos(const grist_sentencepiece *processor) { return processor->processor.bos_id(); }
int32_t grist_sentencepiece_eos(const grist_sentencepiece *processor) { return processor->processor.eos_id(); }
int32_t grist_sentencepiece_unknown(const grist_sentencepiece *processor) { return processor->processor.unk_id(); }

int64_t grist_sentencepiece_encode(
    const grist_sentencepiece *processor, const char *text, size_t length, int32_t **ids) {
  try {
    std::vector<int> encoded;
    if (!processor->processor.Encode(std::string_view(text, length), &encoded).ok()) return -1;
    auto *copy = static_cast<int32_t *>(std::malloc(sizeof(int32_t) * (encoded.size() + 1)));
    if (copy == nullptr) return -1;
    for (size_t i = 0; i < encoded.size(); i++) copy[i] = encoded[i];
    *ids = copy;
    return static_cast<int64_t>(encoded.size());
  } catch (const std::exception &) {
    return -1;
  }
}

int64_t grist_sentencepiece_decode(
    const grist_sentencepiece *processor, const int32_t *ids, size_t count, char **text) {
  try {
    std::string decoded;
    if (!processor->processor.Decode(std::vector<int>(ids, ids + count), &decoded).ok()) return -1;
    auto *copy = static_cast<char *>(std::malloc(decoded.size() + 1));
    if (copy == nullptr) return -1;
    std::memcpy(copy, decoded.data(), decoded.size());
    *text = copy;
    return static_cast<int64_t>(decoded.size());
  } catch (const std::exception &) {
    return -1;
  }
}

void grist_sentencepiece_free(void *memory) { std::free(memory); }
