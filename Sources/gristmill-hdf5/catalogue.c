#define _GNU_SOURCE
#include "catalogue.h"

#include <stdlib.h>
#include <string.h>

#include "dataset.h"
#include "driver.h"
#include "listed.h"
#include "refusal.h"

enum { kGreatestDepth = 64, kGreatestPath = 4096, kGreatestLinks = 1000000 };

struct walk {
  struct catalogue *catalogue;
  char path[kGreatestPath];
  size_t path_length;
  haddr_t groups[kGreatestDepth]; /* from the root to here */
  int depth;
  size_t links;
  hsize_t stored;
};

static bool append(struct catalogue *catalogue, const void *bytes, size_t length) {
  if (catalogue->length + length > catalogue->room) {
    size_t room = 2 * (catalogue->length + length) + 4096;
    char *grown = realloc(catalogue->bytes, room);
    if (!grown) return refuse("", "the list of the file's datasets does not fit into memory", "", NULL);
    catalogue->bytes = grown;
    catalogue->room = room;
  }
  memcpy(catalogue->bytes + catalogue->length, bytes, length);
  catalogue->length += length;
  return true;
}

static bool append_text(struct catalogue *catalogue, const char *text) {
  uint32_t length = (uint32_t)strlen(text);
  return append(catalogue, &length, sizeof length) && append(catalogue, text, length);
}

static bool append_entry(struct catalogue *catalogue, const struct tensor *tensor, const struct description *about) {
  uint32_t rank = (uint32_t)tensor->rank;
  if (!append_text(catalogue, tensor->path) || !append_text(catalogue, about->element_type) ||
      !append(catalogue, &rank, sizeof rank))
    return false;
  for (int axis = 0; axis < tensor->rank; axis++) {
    uint64_t extent = tensor->shape[axis];
    if (!append(catalogue, &extent, sizeof extent)) return false;
  }
  return append(catalogue, &about->offset, sizeof about->offset);
}

static bool add_dataset(struct walk *walk, hid_t group, const char *name, haddr_t object) {
  struct catalogue *catalogue = walk->catalogue;
  if (catalogue->count == catalogue->capacity) {
    size_t capacity = 2 * catalogue->capacity + 64;
    struct tensor *grown = realloc(catalogue->tensors, capacity * sizeof *grown);
    if (!grown) return refuse("", "the list of the file's datasets does not fit into memory", "", NULL);
    catalogue->tensors = grown;
    catalogue->capacity = capacity;
  }
  hid_t dataset = H5Dopen2(group, name, H5P_DEFAULT);
  if (dataset < 0) return refuse_library(walk->path, "the dataset cannot be opened");
  struct tensor *tensor = &catalogue->tensors[catalogue->count];
  memset(tensor, 0, sizeof *tensor);
  struct description about = {0};
  bool fits = describe_dataset(dataset, walk->path, tensor, &about);
  H5Dclose(dataset);
  if (!fits) return false;
  tensor->object = object;
  tensor->path = strdup(walk->path);
  if (!tensor->path) return refuse(walk->path, "the list of the file's datasets does not fit into memory", "", NULL);
  /* Tied weights are one dataset under two names; a thousand names of one dataset are a bomb. */
  walk->stored += about.stored;
  if (walk->stored > 2 * file_length() + (1 << 20))
    return refuse(walk->path, "the datasets declare more than the file can store", "fetch the file again",
                  "%llu bytes up to here in a file of %llu", (unsigned long long)walk->stored,
                  (unsigned long long)file_length());
  if (!append_entry(catalogue, tensor, &about)) return false;
  catalogue->count++;
  return true;
}

static bool walk_group(struct walk *walk, hid_t group, haddr_t object);

static const char *link_kind(H5L_type_t type) {
  switch (type) {
    case H5L_TYPE_SOFT: return "a soft link";
    case H5L_TYPE_EXTERNAL: return "an external link";
    default: return "a user-defined link";
  }
}

static bool visit_object(struct walk *walk, hid_t group, const char *name) {
  H5O_info_t object;
  if (H5Oget_info_by_name(group, name, &object, H5P_DEFAULT) < 0)
    return refuse_library(walk->path, "the object's header cannot be read");
  if (object.type == H5O_TYPE_DATASET) return add_dataset(walk, group, name, object.addr);
  if (object.type == H5O_TYPE_NAMED_DATATYPE) {
    /* A dataset that lost its layout passes for a type; a type has no shape, fill value or layout. */
    static const uint64_t kDatasetMessages = 1 << 0x1 | 1 << 0x4 | 1 << 0x5 | 1 << 0x8;
    if (!(object.hdr.mesg.present & kDatasetMessages)) return true;
    return refuse(walk->path, "a dataset with parts of its description missing", "fetch the file again", NULL);
  }
  if (object.type != H5O_TYPE_GROUP)
    return refuse(walk->path, "an object of an unknown kind", "write the file again with h5py", NULL);
  hid_t inner = H5Gopen2(group, name, H5P_DEFAULT);
  if (inner < 0) return refuse_library(walk->path, "the group cannot be opened");
  bool done = walk_group(walk, inner, object.addr);
  H5Gclose(inner);
  return done;
}

static herr_t visit_link(hid_t group, const char *name, const H5L_info_t *link, void *context) {
  struct walk *walk = context;
  size_t outer = walk->path_length, length = strlen(name);
  if (outer + length + 2 > kGreatestPath) {
    refuse(walk->path, "a name that is too long", "names and their path may have 4095 bytes", "%zu bytes more", length);
    return -1;
  }
  if (++walk->links > kGreatestLinks) {
    refuse(walk->path, "too many links", "a file may have a million", NULL);
    return -1;
  }
  if (outer > 0) walk->path[walk->path_length++] = '/';
  memcpy(walk->path + walk->path_length, name, length + 1);
  walk->path_length += length;
  bool done = link->type == H5L_TYPE_HARD
                  ? visit_object(walk, group, name)
                  : refuse(walk->path, "a link that could lead anywhere",
                           "replace it by the dataset itself, with h5py for example", "%s", link_kind(link->type));
  walk->path_length = outer;
  walk->path[outer] = 0;
  return done ? 0 : -1;
}

static bool walk_group(struct walk *walk, hid_t group, haddr_t object) {
  for (int i = 0; i < walk->depth; i++)
    if (walk->groups[i] == object) return refuse(walk->path, "a group that contains itself", "fetch the file again", NULL);
  if (walk->depth == kGreatestDepth)
    return refuse(walk->path, "groups too deep in each other", "write the file with less than 64 levels", NULL);
  walk->groups[walk->depth++] = object;
  hsize_t next = 0;
  herr_t result = H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, &next, visit_link, walk);
  walk->depth--;
  if (result < 0) return refuse_library(walk->path, "the group's links cannot be read");
  return check_listed(group, walk->path, walk->catalogue);
}

static bool walk_file(struct walk *walk, hid_t file) {
  H5O_info_t root;
  if (H5Oget_info_by_name(file, "/", &root, H5P_DEFAULT) < 0)
    return refuse_library("", "the root group cannot be read");
  hid_t group = H5Gopen2(file, "/", H5P_DEFAULT);
  if (group < 0) return refuse_library("", "the root group cannot be opened");
  bool done = walk_group(walk, group, root.addr);
  H5Gclose(group);
  return done;
}

bool make_catalogue(hid_t file, struct catalogue *catalogue) {
  static struct walk walk;
  memset(&walk, 0, sizeof walk);
  walk.catalogue = catalogue;
  if (!walk_file(&walk, file)) return false;
  return catalogue->count > 0 || refuse("", "the file holds no dataset", "name the file that holds the weights", NULL);
}
