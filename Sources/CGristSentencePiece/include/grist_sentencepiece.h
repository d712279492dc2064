/* SentencePiece's C++ processor behind C functions. No exception crosses this border. */
#ifndef GRIST_SENTENCEPIECE_H
#define GRIST_SENTENCEPIECE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct grist_sentencepiece grist_sentencepiece;

/* Loads a model from its serialized bytes. Returns NULL and a message of at most `capacity` bytes when they are no
   valid model. */
grist_sentencepiece *grist_sentencepiece_create(const void *model, size_t length, char *message, size_t capacity);
void grist_sentencepiece_destroy(grist_sentencepiece *processor);

int32_t grist_sentencepiece_vocabulary_size(const grist_sentencepiece *processor);
int32_t grist_sentencepiece_bos(const grist_sentencepiece *processor);
int32_t grist_sentencepiece_eos(const grist_sentencepiece *processor);
int32_t grist_sentencepiece_unknown(const grist_sentencepiece *processor);

/* Encodes UTF-8 text. `*ids` is to be released with grist_sentencepiece_free. Returns their number, or -1. */
int64_t grist_sentencepiece_encode(
    const grist_sentencepiece *processor, const char *text, size_t length, int32_t **ids);
/* Decodes ids to UTF-8 bytes. `*text` is to be released with grist_sentencepiece_free. Returns their number, or -1. */
int64_t grist_sentencepiece_decode(
    const grist_sentencepiece *processor, const int32_t *ids, size_t count, char **text);
void grist_sentencepiece_free(void *memory);

#ifdef __cplusplus
}
#endif

#endif
