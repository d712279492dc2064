#include "grist_webp.h"

#include <stdio.h>
#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

static bool fail(grist_picture_failure *failure, grist_picture_failure_kind kind, size_t offset, const char *sentence) {
  failure->kind = kind;
  failure->offset = offset;
  snprintf(failure->message, sizeof failure->message, "%s", sentence);
  return false;
}

/* NULL with `*failure` where the file is not whole. */
static WebPDemuxer *demuxer(const void *bytes, size_t count, grist_picture_failure *failure) {
  WebPData data = {.bytes = bytes, .size = count};
  WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
  WebPDemuxer *result = WebPDemuxPartial(&data, &state);
  if (state == WEBP_DEMUX_DONE && result != NULL) return result;
  WebPDemuxDelete(result);
  if (state == WEBP_DEMUX_PARSE_ERROR) {
    fail(failure, GRIST_PICTURE_DAMAGED, 0, "the chunks do not fit together");
  } else {
    fail(failure, GRIST_PICTURE_TRUNCATED, count, "the file ends before its last chunk does");
  }
  return NULL;
}

static bool fail_with_status(VP8StatusCode status, grist_picture_failure *failure, size_t offset) {
  switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY: return fail(failure, GRIST_PICTURE_OUT_OF_MEMORY, offset, "out of memory");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return fail(failure, GRIST_PICTURE_UNSUPPORTED, offset, "unsupported feature");
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA: return fail(failure, GRIST_PICTURE_TRUNCATED, offset, "not enough data");
    default: return fail(failure, GRIST_PICTURE_DAMAGED, offset, "bitstream error");
  }
}

bool grist_webp_read_header(
    const void *bytes, size_t count, grist_webp_header *header, grist_picture_failure *failure) {
  WebPDemuxer *demux = demuxer(bytes, count, failure);
  if (demux == NULL) return false;
  header->width = WebPDemuxGetI(demux, WEBP_FF_CANVAS_WIDTH);
  header->height = WebPDemuxGetI(demux, WEBP_FF_CANVAS_HEIGHT);
  WebPDemuxDelete(demux);
  return true;
}

static bool decode_frame(
    const WebPIterator *frame, const void *bytes, const grist_webp_header *header, uint8_t *pixels,
    grist_picture_failure *failure) {
  size_t place = (size_t)(frame->fragment.bytes - (const uint8_t *)bytes);
  size_t row_bytes = (size_t)header->width * 3, total = row_bytes * header->height;
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) {
    return fail(failure, GRIST_PICTURE_UNSUPPORTED, place, "another version of libwebp than the one built against");
  }
  if (frame->x_offset < 0 || frame->y_offset < 0 || frame->width < 1 || frame->height < 1 ||
      (uint32_t)frame->x_offset + (uint32_t)frame->width > header->width ||
      (uint32_t)frame->y_offset + (uint32_t)frame->height > header->height || row_bytes > INT32_MAX) {
    return fail(failure, GRIST_PICTURE_DAMAGED, place, "the frame does not lie on the canvas");
  }
  if (frame->width != (int)header->width || frame->height != (int)header->height) memset(pixels, 0, total);
  size_t start = (size_t)frame->y_offset * row_bytes + (size_t)frame->x_offset * 3;
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = pixels + start;
  config.output.u.RGBA.stride = (int)row_bytes;
  config.output.u.RGBA.size = total - start;
  VP8StatusCode status = WebPDecode(frame->fragment.bytes, frame->fragment.size, &config);
  return status == VP8_STATUS_OK || fail_with_status(status, failure, place);
}

bool grist_webp_decode(
    const void *bytes, size_t count, const grist_webp_header *header, uint8_t *pixels, grist_picture_failure *failure) {
  WebPDemuxer *demux = demuxer(bytes, count, failure);
  if (demux == NULL) return false;
  WebPIterator frame;
  bool done = false;
  if (WebPDemuxGetFrame(demux, 1, &frame)) {
    done = decode_frame(&frame, bytes, header, pixels, failure);
    WebPDemuxReleaseIterator(&frame);
  } else {
    fail(failure, GRIST_PICTURE_DAMAGED, 0, "no frame");
  }
  WebPDemuxDelete(demux);
  return done;
}
