#include "dataset.h"

#include <stdlib.h>
#include <string.h>

#include "confine.h"
#include "driver.h"
#include "refusal.h"

enum {
  kGreatestChunk = 256 << 20,     /* bytes, decoded */
  kGreatestDeflation = 1100,      /* zlib's own limit is 1032 to 1 */
};

static const char kRewrite[] = "write the dataset again with h5py, as plain numbers";

/* --- element types --- */

static const char *integer_type(hid_t type) {
  size_t size = H5Tget_size(type);
  if (H5Tget_precision(type) != 8 * size || H5Tget_offset(type) != 0) return NULL;
  bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
  switch (size) {
    case 1: return is_signed ? "i8" : "u8";
    case 2: return is_signed ? "i16" : "u16";
    case 4: return is_signed ? "i32" : "u32";
    case 8: return is_signed ? "i64" : "u64";
    default: return NULL;
  }
}

static const char *float_type(hid_t type) {
  static const struct {
    const char *name;
    size_t size, exponent, exponent_bits, bias;
  } known[] = {
      {"f16", 2, 10, 5, 15}, {"bf16", 2, 7, 8, 127}, {"f32", 4, 23, 8, 127}, {"f64", 8, 52, 11, 1023},
  };
  size_t size = H5Tget_size(type), sign, exponent, exponent_bits, mantissa, mantissa_bits;
  if (H5Tget_fields(type, &sign, &exponent, &exponent_bits, &mantissa, &mantissa_bits) < 0) return NULL;
  if (H5Tget_precision(type) != 8 * size || H5Tget_offset(type) != 0 || H5Tget_norm(type) != H5T_NORM_IMPLIED)
    return NULL;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (size == known[i].size && sign == 8 * size - 1 && exponent == known[i].exponent &&
        exponent_bits == known[i].exponent_bits && mantissa == 0 && mantissa_bits == known[i].exponent &&
        H5Tget_ebias(type) == known[i].bias)
      return known[i].name;
  }
  return NULL;
}

/* h5py writes truth values as an enumeration of bytes. */
static const char *truth_type(hid_t type) {
  signed char no = -1, yes = -1;
  if (H5Tget_size(type) != 1 || H5Tget_nmembers(type) != 2) return NULL;
  if (H5Tenum_valueof(type, "FALSE", &no) < 0 || H5Tenum_valueof(type, "TRUE", &yes) < 0) return NULL;
  return no == 0 && yes == 1 ? "bool" : NULL;
}

/* Keras stores bfloat16 as opaque pairs of bytes, and says what they are in an attribute. */
static bool says_bfloat16(hid_t dataset) {
  static const char kName[] = "bfloat16";
  if (H5Aexists(dataset, "dtype") <= 0) return false;
  hid_t attribute = H5Aopen(dataset, "dtype", H5P_DEFAULT);
  if (attribute < 0) return false;
  hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  bool says = false;
  if (type >= 0 && space >= 0 && H5Tget_class(type) == H5T_STRING && H5Sget_simple_extent_npoints(space) == 1) {
    if (H5Tis_variable_str(type) > 0) {
      char *text = NULL;
      if (H5Aread(attribute, type, &text) >= 0 && text) says = strcmp(text, kName) == 0;
      if (text) H5free_memory(text);
    } else if (H5Tget_size(type) >= sizeof kName - 1 && H5Tget_size(type) <= 64) {
      char text[65] = {0};
      says = H5Aread(attribute, type, text) >= 0 && strncmp(text, kName, sizeof kName - 1) == 0 &&
             (text[sizeof kName - 1] == 0 || text[sizeof kName - 1] == ' ');
    }
  }
  if (type >= 0) H5Tclose(type);
  if (space >= 0) H5Sclose(space);
  H5Aclose(attribute);
  return says;
}

static const char *class_name(H5T_class_t class) {
  switch (class) {
    case H5T_STRING: return "text";
    case H5T_COMPOUND: return "a compound type";
    case H5T_VLEN: return "a type of variable length";
    case H5T_REFERENCE: return "references";
    case H5T_OPAQUE: return "an opaque type";
    case H5T_ARRAY: return "an array type";
    case H5T_ENUM: return "an enumeration";
    case H5T_BITFIELD: return "a bit field";
    case H5T_TIME: return "a time";
    case H5T_FLOAT: return "a float of an unusual format";
    case H5T_INTEGER: return "an integer of an unusual width";
    default: return "an unknown type";
  }
}

static bool describe_type(hid_t dataset, const char *path, struct tensor *tensor, struct description *about) {
  hid_t type = H5Dget_type(dataset);
  if (type < 0) return refuse_library(path, "the dataset's type cannot be read");
  H5T_class_t class = H5Tget_class(type);
  tensor->element_size = H5Tget_size(type);
  about->element_type = NULL;
  bool is_ordered = class == H5T_INTEGER || class == H5T_FLOAT;
  H5T_order_t order = is_ordered ? H5Tget_order(type) : H5T_ORDER_LE;
  bool has_order = order == H5T_ORDER_LE || order == H5T_ORDER_BE;
  if (class == H5T_INTEGER && has_order) about->element_type = integer_type(type);
  if (class == H5T_FLOAT && has_order) about->element_type = float_type(type);
  if (class == H5T_ENUM) about->element_type = truth_type(type);
  if (class == H5T_OPAQUE && tensor->element_size == 2 && says_bfloat16(dataset)) about->element_type = "bf16";
  H5Tclose(type);
  return about->element_type ? true
                             : refuse(path, "a dataset that does not hold plain numbers", kRewrite, "%s",
                                      class_name(class));
}

/* --- shape --- */

static bool multiply(hsize_t *product, hsize_t factor) {
  return !__builtin_mul_overflow(*product, factor, product) && *product <= INT64_MAX;
}

static bool describe_shape(hid_t dataset, const char *path, struct tensor *tensor) {
  hid_t space = H5Dget_space(dataset);
  if (space < 0) return refuse_library(path, "the dataset's shape cannot be read");
  H5S_class_t class = H5Sget_simple_extent_type(space);
  int rank = H5Sget_simple_extent_ndims(space);
  bool fits = rank >= 0 && rank <= kGreatestRank;
  if (fits && rank > 0) fits = H5Sget_simple_extent_dims(space, tensor->shape, NULL) == rank;
  H5Sclose(space);
  if (class == H5S_NULL) return refuse(path, "a dataset without a value", "leave it out of the file", NULL);
  if (!fits)
    return refuse(path, "a dataset with too many dimensions", "sixteen are the most", "%d", rank);
  tensor->rank = rank;
  tensor->elements = 1;
  hsize_t extents = 1;
  for (int axis = 0; axis < rank; axis++) {
    tensor->elements *= tensor->shape[axis] ? 1 : 0;
    if (!multiply(&extents, tensor->shape[axis] ? tensor->shape[axis] : 1)) extents = 0;
    if (!extents) break;
  }
  hsize_t bytes = extents;
  if (!extents || !multiply(&bytes, tensor->element_size))
    return refuse(path, "a shape that is too large to be true", "fetch the file again", NULL);
  tensor->elements *= extents;
  return true;
}

/* --- storage --- */

static bool check_filters(hid_t creation, const char *path, bool *deflates) {
  int count = H5Pget_nfilters(creation);
  if (count < 0) return refuse_library(path, "the dataset's filters cannot be read");
  for (int i = 0; i < count; i++) {
    unsigned flags, values[8], configuration;
    size_t value_count = 8;
    char name[64] = "";
    H5Z_filter_t filter =
        H5Pget_filter2(creation, (unsigned)i, &flags, &value_count, values, sizeof name, name, &configuration);
    if (filter == H5Z_FILTER_DEFLATE) *deflates = true;
    if (filter == H5Z_FILTER_DEFLATE || filter == H5Z_FILTER_SHUFFLE || filter == H5Z_FILTER_FLETCHER32) continue;
    return refuse(path, "a filter other than gzip, shuffle and fletcher32",
                  "write the dataset again with one of these, or with none", "%s (%d)", name, (int)filter);
  }
  return true;
}

/* Whether no chunk is longer than the dataset can become: libhdf5 writes none, and before 1.14 reads one whose length was
   damaged with its rows shifted. */
static bool check_chunk_extents(hid_t dataset, const char *path, const struct tensor *tensor, const hsize_t chunk[]) {
  hsize_t extents[kGreatestRank], greatest[kGreatestRank];
  hid_t space = H5Dget_space(dataset);
  int rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, extents, greatest);
  if (space >= 0) H5Sclose(space);
  if (rank != tensor->rank) return refuse_library(path, "the dataset's extents cannot be read");
  for (int axis = 0; axis < rank; axis++)
    if (greatest[axis] != H5S_UNLIMITED && chunk[axis] > greatest[axis])
      return refuse(path, "chunks longer than the dataset", "the file is damaged: fetch it again", "%llu of %llu",
                    (unsigned long long)chunk[axis], (unsigned long long)greatest[axis]);
  return true;
}

/* Whether every chunk is where its coordinates say. A damaged index can list as many as there should be and still miss
   some, which would read as fill values. */
static bool check_chunk_places(hid_t dataset, const char *path, const struct tensor *tensor, const hsize_t chunk[]) {
  hsize_t place[kGreatestRank] = {0};
  int axis;
  do {
    hsize_t size = 0;
    if (H5Dget_chunk_storage_size(dataset, place, &size) < 0 || size == 0)
      return refuse(path, "a chunk is not where it should be", "the file is damaged: fetch it again", NULL);
    note_progress(size);
    for (axis = tensor->rank - 1; axis >= 0; axis--) {
      place[axis] += chunk[axis];
      if (place[axis] < tensor->shape[axis]) break;
      place[axis] = 0;
    }
  } while (axis >= 0);
  return true;
}

static bool check_chunks(
    hid_t dataset, hid_t creation, const char *path, struct tensor *tensor, struct description *about) {
  hsize_t chunk[kGreatestRank];
  bool deflates = false;
  if (!check_filters(creation, path, &deflates)) return false;
  if (H5Pget_chunk(creation, kGreatestRank, chunk) != tensor->rank)
    return refuse(path, "chunks of another rank than the dataset's", "fetch the file again", NULL);
  if (tensor->elements == 0) return true;
  if (!check_chunk_extents(dataset, path, tensor, chunk)) return false;
  hsize_t chunk_bytes = tensor->element_size, chunks = 1;
  for (int axis = 0; axis < tensor->rank; axis++) {
    if (chunk[axis] == 0) return refuse(path, "a chunk without an element", "fetch the file again", NULL);
    hsize_t along = (tensor->shape[axis] - 1) / chunk[axis] + 1;
    if (!multiply(&chunk_bytes, chunk[axis]) || chunk_bytes > kGreatestChunk)
      return refuse(path, "a chunk that is too large", "write the dataset in chunks of at most 256 MiB", "more than %d bytes",
                    (int)kGreatestChunk);
    if (!multiply(&chunks, along)) return refuse(path, "too many chunks to be true", "fetch the file again", NULL);
  }
  hid_t space = H5Dget_space(dataset);
  hsize_t present = 0;
  herr_t counted = space < 0 ? -1 : H5Dget_num_chunks(dataset, space, &present);
  if (space >= 0) H5Sclose(space);
  if (counted < 0) return refuse_library(path, "the dataset's chunks cannot be listed");
  if (present != chunks)
    return refuse(path, "a dataset that was declared and not wholly written", "fetch the file again",
                  "%llu of %llu chunks", (unsigned long long)present, (unsigned long long)chunks);
  hsize_t bytes = chunks, most = about->stored;
  if (deflates && (!multiply(&most, kGreatestDeflation) || __builtin_add_overflow(most, 1024 * chunks, &most)))
    most = INT64_MAX;
  if (!multiply(&bytes, chunk_bytes) || bytes > most)
    return refuse(path, "a dataset that declares more than it stores", "fetch the file again",
                  "%llu bytes stored for %llu", (unsigned long long)about->stored, (unsigned long long)bytes);
  if (!check_chunk_places(dataset, path, tensor, chunk)) return false;
  tensor->chunk_rows = tensor->rank > 0 ? chunk[0] : 0;
  tensor->chunks_of_row = tensor->rank > 0 ? chunks / ((tensor->shape[0] - 1) / chunk[0] + 1) : 0;
  return true;
}

static bool check_whole(hid_t creation, const char *path, const struct tensor *tensor, struct description *about) {
  hsize_t bytes = tensor->elements * tensor->element_size;
  if (H5Pget_external_count(creation) != 0)
    return refuse(path, "a dataset whose data are in another file", kRewrite, NULL);
  if (about->stored == 0 && bytes > 0)
    return refuse(path, "a dataset that was declared and never written", "fetch the file again", NULL);
  if (about->stored != bytes)
    return refuse(path, "a dataset that declares another size than it stores", "fetch the file again",
                  "%llu bytes stored for %llu", (unsigned long long)about->stored, (unsigned long long)bytes);
  if (about->offset != UINT64_MAX && (about->offset > file_length() || bytes > file_length() - about->offset))
    return refuse(path, "the data end beyond the file", "the file is truncated or damaged: fetch it again",
                  "an end at byte %llu of %llu", (unsigned long long)(about->offset + bytes),
                  (unsigned long long)file_length());
  return true;
}

static bool check_storage(hid_t dataset, const char *path, struct tensor *tensor, struct description *about) {
  hid_t creation = H5Dget_create_plist(dataset);
  if (creation < 0) return refuse_library(path, "the dataset's layout cannot be read");
  H5D_layout_t layout = H5Pget_layout(creation);
  about->offset = UINT64_MAX;
  about->stored = 0;
  bool fits = false;
  if (layout == H5D_VIRTUAL) {
    fits = refuse(path, "a virtual dataset, whose data are elsewhere", kRewrite, NULL);
  } else if (layout != H5D_COMPACT && layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED) {
    fits = refuse_library(path, "the dataset's layout cannot be read");
  } else {
    about->stored = H5Dget_storage_size(dataset);
    if (layout == H5D_CONTIGUOUS && H5Pget_external_count(creation) == 0) {
      haddr_t address = H5Dget_offset(dataset);
      about->offset = address == HADDR_UNDEF ? UINT64_MAX : address;
    }
    fits = layout == H5D_CHUNKED ? check_chunks(dataset, creation, path, tensor, about)
                                 : check_whole(creation, path, tensor, about);
  }
  H5Pclose(creation);
  if (fits && about->stored > file_length())
    return refuse(path, "a dataset that declares more than the file can store", "fetch the file again",
                  "%llu bytes in a file of %llu", (unsigned long long)about->stored,
                  (unsigned long long)file_length());
  return fits;
}

bool describe_dataset(hid_t dataset, const char *path, struct tensor *tensor, struct description *about) {
  return describe_type(dataset, path, tensor, about) && describe_shape(dataset, path, tensor) &&
         check_storage(dataset, path, tensor, about);
}

/* --- data --- */

/* The type in memory: as in the file, little-endian. */
static hid_t memory_type(hid_t dataset) {
  hid_t type = H5Dget_type(dataset);
  if (type < 0) return -1;
  H5T_class_t class = H5Tget_class(type);
  if (class != H5T_INTEGER && class != H5T_FLOAT) return type;
  hid_t copy = H5Tcopy(type);
  H5Tclose(type);
  if (copy >= 0 && H5Tset_order(copy, H5T_ORDER_LE) < 0) {
    H5Tclose(copy);
    return -1;
  }
  return copy;
}

/* The greatest box of whole rows that begins at element `first` and has at most `count` elements: its extents, and how
   many elements it has. Boxes read one after the other are the elements in row-major order. */
static hsize_t box_at(
    const struct tensor *tensor, hsize_t first, hsize_t count, hsize_t start[], hsize_t extents[]) {
  hsize_t inner = 1, rest = first;
  int axis = tensor->rank;
  for (int i = tensor->rank - 1; i >= 0; i--) {
    start[i] = rest % tensor->shape[i];
    rest /= tensor->shape[i];
    extents[i] = 1;
  }
  /* Whole inner axes as long as the box begins at their start and they fit. */
  while (axis > 0 && start[axis - 1] == 0 && inner * tensor->shape[axis - 1] <= count) {
    axis--;
    extents[axis] = tensor->shape[axis];
    inner *= tensor->shape[axis];
  }
  if (axis == 0) return inner;
  hsize_t along = tensor->shape[axis - 1] - start[axis - 1];
  if (along > count / inner) along = count / inner;
  extents[axis - 1] = along;
  return along * inner;
}

static bool read_box(
    hid_t dataset, hid_t type, hid_t space, int rank, const hsize_t start[], const hsize_t extents[], char *bytes) {
  /* Of the box's own shape: into a line, libhdf5 would map element by element. */
  hid_t memory = H5Screate_simple(rank, extents, NULL);
  if (memory < 0) return false;
  bool done = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, extents, NULL) >= 0 &&
              H5Dread(dataset, type, memory, space, H5P_DEFAULT, bytes) >= 0;
  H5Sclose(memory);
  return done;
}

/* Rows of the last chunked dataset, decoded: whole rows of chunks, as many as may be held. Requests come in order and more than
   once; each chunk is decoded for the first of them alone. */
static struct {
  const struct tensor *tensor;
  hsize_t first_row, rows;
  char *bytes;
  hsize_t room;
} held;

static void forget_held(void) {
  free(held.bytes);
  memset(&held, 0, sizeof held);
}

/* Elements to read at a time: whole rows of chunks, of not many chunks. libhdf5 notes a kilobyte and more for each chunk of a
   request. */
static hsize_t elements_together(const struct tensor *tensor) {
  enum { kChunks = 4096 };
  if (tensor->chunk_rows == 0 || tensor->chunks_of_row == 0) return tensor->elements;
  hsize_t rows_of_chunks = kChunks / tensor->chunks_of_row;
  if (rows_of_chunks < 1) rows_of_chunks = 1;
  hsize_t inner = tensor->elements / tensor->shape[0], rows = tensor->chunk_rows, elements;
  if (!multiply(&rows, rows_of_chunks)) return tensor->elements;
  elements = rows;
  return multiply(&elements, inner) ? elements : tensor->elements;
}

/* Reads the elements from the file. */
static bool read_directly(
    hid_t dataset, hid_t type, hid_t space, const struct tensor *tensor, hsize_t first, hsize_t count, char *next) {
  hsize_t together = elements_together(tensor);
  bool done = true;
  while (done && count > 0) {
    hsize_t start[kGreatestRank], extents[kGreatestRank];
    hsize_t elements = box_at(tensor, first, count < together ? count : together, start, extents);
    done = read_box(dataset, type, space, tensor->rank, start, extents, next);
    next += elements * tensor->element_size;
    first += elements;
    count -= elements;
  }
  return done;
}

/* Holds the rows of chunks around a row, if they may be held; else false without a refusal. */
static bool hold_rows(hid_t dataset, hid_t type, hid_t space, const struct tensor *tensor, hsize_t row, bool *failed) {
  if (tensor->chunk_rows == 0) return false;
  hsize_t row_bytes = tensor->elements / tensor->shape[0] * tensor->element_size;
  hsize_t least = tensor->chunk_rows < tensor->shape[0] ? tensor->chunk_rows : tensor->shape[0];
  if (row_bytes == 0 || least > greatest_hold() / row_bytes) return false;
  if (held.tensor == tensor && row >= held.first_row && row < held.first_row + held.rows) return true;
  /* A quarter of a GiB does for all but datasets whose chunks reach from end to end. */
  enum { kUsual = 256 << 20 };
  hsize_t rows = kUsual / row_bytes / tensor->chunk_rows * tensor->chunk_rows;
  if (rows < tensor->chunk_rows) rows = tensor->chunk_rows;
  hsize_t first = row / rows * rows;
  if (rows > tensor->shape[0] - first) rows = tensor->shape[0] - first;
  if (held.room < rows * row_bytes) {
    forget_held();
    held.bytes = malloc(rows * row_bytes);
    if (held.bytes == NULL) return false;
    held.room = rows * row_bytes;
  }
  hsize_t inner = tensor->elements / tensor->shape[0];
  held.tensor = NULL;
  *failed = !read_directly(dataset, type, space, tensor, first * inner, rows * inner, held.bytes);
  if (*failed) return false;
  held.tensor = tensor;
  held.first_row = first;
  held.rows = rows;
  return true;
}

static bool read_through_held(
    hid_t dataset, hid_t type, hid_t space, const struct tensor *tensor, hsize_t first, hsize_t count, char *next) {
  hsize_t inner = tensor->elements / tensor->shape[0];
  while (count > 0) {
    bool failed = false;
    if (!hold_rows(dataset, type, space, tensor, first / inner, &failed))
      return !failed && read_directly(dataset, type, space, tensor, first, count, next);
    hsize_t begin = held.first_row * inner, end = begin + held.rows * inner;
    hsize_t here = count < end - first ? count : end - first;
    memcpy(next, held.bytes + (first - begin) * tensor->element_size, here * tensor->element_size);
    next += here * tensor->element_size;
    first += here;
    count -= here;
  }
  return true;
}

bool read_elements(hid_t file, const struct tensor *tensor, hsize_t first, hsize_t count, void *bytes) {
  static hid_t dataset = -1;
  static const struct tensor *open_tensor;
  if (open_tensor != tensor) {
    if (dataset >= 0) H5Dclose(dataset);
    open_tensor = NULL;
    dataset = H5Dopen2(file, tensor->path, H5P_DEFAULT);
    if (dataset < 0) return refuse_library(tensor->path, "the dataset cannot be opened");
    open_tensor = tensor;
  }
  hid_t type = memory_type(dataset), space = H5Dget_space(dataset);
  bool done = type >= 0 && space >= 0 && H5Tget_size(type) == tensor->element_size &&
              H5Sget_simple_extent_npoints(space) == (hssize_t)tensor->elements;
  if (done && tensor->rank == 0 && count > 0) done = H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes) >= 0;
  if (done && tensor->rank > 0 && count > 0)
    done = read_through_held(dataset, type, space, tensor, first, count, bytes);
  if (type >= 0) H5Tclose(type);
  if (space >= 0) H5Sclose(space);
  return done ? true : refuse_library(tensor->path, "the data cannot be read");
}
