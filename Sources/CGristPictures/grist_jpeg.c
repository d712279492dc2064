#include "grist_jpeg.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

/* A progressive file may repeat scans without end, each costing a walk over the whole image. Real ones have ten, and no encoder is known that
   writes more than 64. */
enum { MAXIMUM_SCANS = 100 };

typedef struct session session;

struct session {
  struct jpeg_decompress_struct decompressor;
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  jmp_buf escape;
  const uint8_t *bytes;
  size_t count;
  grist_jpeg_header header;
  uint8_t *pixels;
  grist_picture_failure *failure;
};

static grist_picture_failure_kind kind_of(int message_code) {
  switch (message_code) {
    case JWRN_JPEG_EOF:
    case JERR_INPUT_EMPTY:
    case JERR_INPUT_EOF:
      return GRIST_PICTURE_TRUNCATED;
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_ARITH_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_COMPONENT_COUNT:
    case JERR_CCIR601_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
      return GRIST_PICTURE_UNSUPPORTED;
    case JERR_OUT_OF_MEMORY:
      return GRIST_PICTURE_OUT_OF_MEMORY;
    default:
      return GRIST_PICTURE_DAMAGED;
  }
}

static size_t reading_offset(const session *self) {
  const struct jpeg_source_mgr *source = self->decompressor.src;
  if (source == NULL) return 0;
  /* At the end of the input libjpeg's memory source switches to an end-of-image marker of its own. */
  uintptr_t start = (uintptr_t)self->bytes, next = (uintptr_t)source->next_input_byte;
  return next >= start && next - start <= self->count ? next - start : self->count;
}

static _Noreturn void fail(session *self, grist_picture_failure_kind kind) {
  self->failure->kind = kind;
  self->failure->offset = reading_offset(self);
  longjmp(self->escape, 1);
}

static _Noreturn void fail_with_sentence(session *self, grist_picture_failure_kind kind, const char *sentence) {
  snprintf(self->failure->message, sizeof self->failure->message, "%s", sentence);
  fail(self, kind);
}

static _Noreturn void fail_with_libjpeg_message(session *self) {
  char message[JMSG_LENGTH_MAX];
  self->errors.format_message((j_common_ptr)&self->decompressor, message);
  fail_with_sentence(self, kind_of(self->errors.msg_code), message);
}

static void error_exit(j_common_ptr decompressor) { fail_with_libjpeg_message(decompressor->client_data); }

/* Negative levels are warnings, the others only traces. */
static void emit_message(j_common_ptr decompressor, int level) {
  if (level >= 0) return;
  session *self = decompressor->client_data;
  switch (self->errors.msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
    case JWRN_NOT_SEQUENTIAL:
      /* Odd labels, but the image data is whole, and Pillow decodes it with the same guess. */
      return;
    case JWRN_EXTRANEOUS_DATA:
      /* Bytes between segments before the first scan are skipped, as Pillow skips them. Behind a scan they are what is left of
         one that went wrong. */
      if (self->decompressor.input_scan_number == 0) return;
      fail_with_libjpeg_message(self);
    default:
      fail_with_libjpeg_message(self);
  }
}

static void output_message(j_common_ptr decompressor) { (void)decompressor; }

static void progress_monitor(j_common_ptr decompressor) {
  session *self = decompressor->client_data;
  if (self->decompressor.input_scan_number > MAXIMUM_SCANS) {
    fail_with_sentence(self, GRIST_PICTURE_DAMAGED, "more scans than any real image has");
  }
}

static void read_header(session *self) {
  struct jpeg_decompress_struct *decompressor = &self->decompressor;
  jpeg_mem_src(decompressor, self->bytes, self->count);
  jpeg_read_header(decompressor, TRUE);
}

static void report_header(session *self) {
  read_header(self);
  self->header.width = self->decompressor.image_width;
  self->header.height = self->decompressor.image_height;
  self->header.components = (uint32_t)self->decompressor.num_components;
}

static void decode(session *self) {
  read_header(self);
  struct jpeg_decompress_struct *decompressor = &self->decompressor;
  const grist_jpeg_header *header = &self->header;
  if (decompressor->image_width != header->width || decompressor->image_height != header->height ||
      (uint32_t)decompressor->num_components != header->components) {
    fail_with_sentence(self, GRIST_PICTURE_DAMAGED, "the header changed while it was read");
  }
  switch (header->components) {
    case 1:
    case 3: decompressor->out_color_space = JCS_RGB; break;
    case 4: decompressor->out_color_space = JCS_CMYK; break;
    default: fail_with_sentence(self, GRIST_PICTURE_UNSUPPORTED, "the number of components is not 1, 3 or 4");
  }
  jpeg_start_decompress(decompressor);
  size_t row_bytes = (size_t)header->width * (header->components == 4 ? 4 : 3);
  while (decompressor->output_scanline < decompressor->output_height) {
    JSAMPROW row = self->pixels + decompressor->output_scanline * row_bytes;
    jpeg_read_scanlines(decompressor, &row, 1);
  }
  /* Reads up to the end-of-image marker, and so fails when there is none. Never suspends on a memory source. */
  jpeg_finish_decompress(decompressor);
}

/* Holds the only setjmp: whatever fails below `body` comes back here. All state that changes is in the session, none
   in this frame, as longjmp demands. */
static bool run(session *self, void (*body)(session *)) {
  self->failure->message[0] = 0;
  self->decompressor.err = jpeg_std_error(&self->errors);
  self->errors.error_exit = error_exit;
  self->errors.emit_message = emit_message;
  self->errors.output_message = output_message;
  self->decompressor.client_data = self;
  if (setjmp(self->escape) != 0) {
    jpeg_destroy_decompress(&self->decompressor);
    return false;
  }
  jpeg_create_decompress(&self->decompressor);
  self->progress.progress_monitor = progress_monitor;
  self->decompressor.progress = &self->progress;
  body(self);
  jpeg_destroy_decompress(&self->decompressor);
  return true;
}

bool grist_jpeg_read_header(const void *bytes, size_t count, grist_jpeg_header *header, grist_picture_failure *failure) {
  session self = {.bytes = bytes, .count = count, .failure = failure};
  bool done = run(&self, report_header);
  *header = self.header;
  return done;
}

bool grist_jpeg_decode(
    const void *bytes, size_t count, const grist_jpeg_header *header, uint8_t *pixels, grist_picture_failure *failure) {
  session self = {.bytes = bytes, .count = count, .header = *header, .pixels = pixels, .failure = failure};
  return run(&self, decode);
}
