#include "grist_png.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

typedef struct {
  png_structp png;
  png_infop info;
  jmp_buf escape;
  const uint8_t *bytes;
  size_t count;
  size_t offset;
  grist_png_header header;
  uint8_t *pixels;
  uint8_t *palette;
  png_bytep *rows;
  grist_picture_failure *failure;
} session;

static _Noreturn void fail(session *self, grist_picture_failure_kind kind, const char *sentence) {
  self->failure->kind = kind;
  self->failure->offset = self->offset;
  snprintf(self->failure->message, sizeof self->failure->message, "%s", sentence);
  longjmp(self->escape, 1);
}

static _Noreturn void on_error(png_structp png, png_const_charp message) {
  session *self = png_get_error_ptr(png);
  grist_picture_failure_kind kind = GRIST_PICTURE_DAMAGED;
  if (strstr(message, "emory") != NULL) kind = GRIST_PICTURE_OUT_OF_MEMORY;
  if (strstr(message, "Not enough") != NULL) kind = GRIST_PICTURE_TRUNCATED;
  fail(self, kind, message);
}

/* libpng only warns of data behind the last row whose checksum is wrong. Bytes too many there leave the image whole. */
static void on_warning(png_structp png, png_const_charp message) {
  if (strncmp(message, "IDAT: ", 6) == 0 && strstr(message, "xtra") == NULL && strstr(message, "Too much") == NULL) {
    on_error(png, message);
  }
}

static void on_read(png_structp png, png_bytep into, png_size_t length) {
  session *self = png_get_io_ptr(png);
  if (length > self->count - self->offset) {
    self->offset = self->count;
    fail(self, GRIST_PICTURE_TRUNCATED, "the file ends inside a chunk");
  }
  memcpy(into, self->bytes + self->offset, length);
  self->offset += length;
}

static void read_info(session *self) {
  png_set_read_fn(self->png, self, on_read);
  png_set_crc_action(self->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  /* An index without a color is black to Pillow, and an error to nobody. */
  png_set_check_for_invalid_index(self->png, 0);
  /* The caller bounds the pixels. */
  png_set_user_limits(self->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  /* Nothing that does not change pixels is looked at, compressed profiles and texts above all. Their checksums are. */
  static const png_byte unread[] = "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0sPLT\0sRGB\0tEXt\0tIME\0zTXt";
  png_set_keep_unknown_chunks(self->png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
  png_set_keep_unknown_chunks(self->png, PNG_HANDLE_CHUNK_NEVER, unread, sizeof unread / 5);
  png_read_info(self->png, self->info);

  grist_png_header *header = &self->header;
  header->width = png_get_image_width(self->png, self->info);
  header->height = png_get_image_height(self->png, self->info);
  header->depth = png_get_bit_depth(self->png, self->info);
  header->pixel_bits = header->depth * png_get_channels(self->png, self->info);
  header->pixel_bytes = 1;
  switch (png_get_color_type(self->png, self->info)) {
    case PNG_COLOR_TYPE_PALETTE: header->samples = GRIST_PNG_PALETTE; break;
    case PNG_COLOR_TYPE_GRAY:
      header->samples = GRIST_PNG_GREY;
      header->pixel_bytes = header->depth == 16 ? 2 : 1;
      break;
    case PNG_COLOR_TYPE_GRAY_ALPHA: header->samples = GRIST_PNG_GREY; break;
    default:
      header->samples = GRIST_PNG_RGB;
      header->pixel_bytes = 3;
  }
}

static void decode(session *self) {
  grist_png_header asked = self->header;
  read_info(self);
  if (memcmp(&asked, &self->header, sizeof asked) != 0) {
    fail(self, GRIST_PICTURE_DAMAGED, "the header changed while it was read");
  }
  png_colorp colors = NULL;
  int color_count = 0;
  png_get_PLTE(self->png, self->info, &colors, &color_count);
  for (int index = 0; index < color_count && index < 256; index++) {
    self->palette[index * 3] = colors[index].red;
    self->palette[index * 3 + 1] = colors[index].green;
    self->palette[index * 3 + 2] = colors[index].blue;
  }
  png_set_packing(self->png);
  if (self->header.pixel_bytes != 2) png_set_strip_16(self->png);
  png_set_strip_alpha(self->png);
  png_set_interlace_handling(self->png);
  png_read_update_info(self->png, self->info);
  size_t row_bytes = (size_t)self->header.width * self->header.pixel_bytes;
  if (png_get_rowbytes(self->png, self->info) != row_bytes) {
    fail(self, GRIST_PICTURE_UNSUPPORTED, "the rows are not laid out as the header says");
  }
  self->rows = malloc(self->header.height * sizeof *self->rows);
  if (self->rows == NULL) fail(self, GRIST_PICTURE_OUT_OF_MEMORY, "no memory for the rows");
  for (size_t row = 0; row < self->header.height; row++) self->rows[row] = self->pixels + row * row_bytes;
  png_read_image(self->png, self->rows);
  png_read_end(self->png, NULL);
}

/* Holds the only setjmp: whatever fails below `body` comes back here. All state that changes is in the session, none
   in this frame but `done`, which nobody writes after setjmp, as longjmp demands. */
static bool run(session *self, void (*body)(session *)) {
  self->failure->message[0] = 0;
  bool done = setjmp(self->escape) == 0;
  if (done) {
    self->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, self, on_error, on_warning);
    self->info = self->png == NULL ? NULL : png_create_info_struct(self->png);
    if (self->info == NULL) fail(self, GRIST_PICTURE_OUT_OF_MEMORY, "no memory for libpng");
    body(self);
  }
  png_destroy_read_struct(&self->png, &self->info, NULL);
  free(self->rows);
  return done;
}

bool grist_png_read_header(const void *bytes, size_t count, grist_png_header *header, grist_picture_failure *failure) {
  session self = {.bytes = bytes, .count = count, .failure = failure};
  bool done = run(&self, read_info);
  *header = self.header;
  return done;
}

bool grist_png_decode(
    const void *bytes, size_t count, const grist_png_header *header, uint8_t *pixels, uint8_t palette[768],
    grist_picture_failure *failure) {
  session self = {
      .bytes = bytes, .count = count, .header = *header, .pixels = pixels, .palette = palette, .failure = failure};
  memset(palette, 0, 768);
  return run(&self, decode);
}
