#include "listed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "refusal.h"

enum { kGreatestListed = 1 << 20, kGreatestName = 4096 };

struct list {
  const char *path;
  const struct catalogue *catalogue;
  size_t next; /* where in the catalogue the last name was found: lists are mostly in its order */
};

/* Layers may be empty groups; that a layer's own variables are there is for its own list to say. */
static bool holds_layer(hid_t group, const char *name) {
  char prefix[kGreatestName];
  for (const char *end = name; (end = strchr(end, '/')); end++) {
    memcpy(prefix, name, (size_t)(end - name));
    prefix[end - name] = 0;
    if (end > name && H5Lexists(group, prefix, H5P_DEFAULT) <= 0) return false;
  }
  return *name && H5Lexists(group, name, H5P_DEFAULT) > 0;
}

static bool holds_weight(struct list *list, const char *name) {
  char full[2 * kGreatestName];
  int length = snprintf(full, sizeof full, "%s%s%s", list->path, *list->path ? "/" : "", name);
  if (length < 0 || (size_t)length >= sizeof full) return false;
  for (size_t i = 0; i < list->catalogue->count; i++) {
    size_t at = (list->next + i) % list->catalogue->count;
    if (strcmp(list->catalogue->tensors[at].path, full) != 0) continue;
    list->next = at + 1;
    return true;
  }
  return false;
}

static bool check_name(hid_t group, struct list *list, const char *name, bool is_layer) {
  size_t length = strlen(name);
  if (length < kGreatestName && (is_layer ? holds_layer(group, name) : holds_weight(list, name))) return true;
  return refuse(list->path, is_layer ? "a layer that the file lists is not there" : "a variable that its layer lists is not there",
                "fetch the file again, or save the model again", "%.200s", name);
}

static bool check_values(hid_t group, struct list *list, hid_t attribute, hid_t type, hid_t space, bool is_layer) {
  hssize_t count = H5Sget_simple_extent_npoints(space);
  if (count == 0) return true;
  size_t size = H5Tget_size(type);
  bool is_variable = H5Tis_variable_str(type) > 0;
  if (H5Tget_class(type) != H5T_STRING || count < 0 || size == 0 || size > kGreatestName ||
      (hsize_t)count > kGreatestListed / size)
    return refuse(list->path, "a list of names that are no names", "save the model again", NULL);
  char *values = calloc((size_t)count, size);
  if (!values) return refuse(list->path, "a list of names that does not fit into memory", "", NULL);
  bool fits = true;
  if (H5Aread(attribute, type, values) < 0) {
    fits = refuse_library(list->path, "a list of names that cannot be read");
  } else {
    for (hssize_t i = 0; fits && i < count; i++) {
      char text[kGreatestName + 1];
      const char *name = text;
      if (is_variable) {
        name = ((char **)values)[i];
      } else {
        memcpy(text, values + (size_t)i * size, size);
        text[size] = 0;
        if (H5Tget_strpad(type) == H5T_STR_SPACEPAD)
          for (size_t end = size; end > 0 && text[end - 1] == ' '; end--) text[end - 1] = 0;
      }
      fits = check_name(group, list, name ? name : "", is_layer);
    }
    if (is_variable) H5Dvlen_reclaim(type, space, H5P_DEFAULT, values);
  }
  free(values);
  return fits;
}

/* True too when there is no such attribute; `found` says whether there was. */
static bool check_attribute(hid_t group, struct list *list, const char *name, bool is_layer, bool *found) {
  *found = H5Aexists(group, name) > 0;
  if (!*found) return true;
  hid_t attribute = H5Aopen(group, name, H5P_DEFAULT);
  if (attribute < 0) return refuse_library(list->path, "a list of names that cannot be read");
  hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  bool fits = type >= 0 && space >= 0 ? check_values(group, list, attribute, type, space, is_layer)
                                      : refuse_library(list->path, "a list of names that cannot be read");
  if (space >= 0) H5Sclose(space);
  if (type >= 0) H5Tclose(type);
  H5Aclose(attribute);
  return fits;
}

bool check_listed(hid_t group, const char *path, const struct catalogue *catalogue) {
  struct list list = {path, catalogue, 0};
  static const char *const kNames[] = {"layer_names", "weight_names"};
  for (int kind = 0; kind < 2; kind++) {
    bool found;
    if (!check_attribute(group, &list, kNames[kind], kind == 0, &found)) return false;
    found = true;
    for (int part = 0; found; part++) {
      char name[32];
      snprintf(name, sizeof name, "%s%d", kNames[kind], part);
      if (!check_attribute(group, &list, name, kind == 0, &found)) return false;
    }
  }
  return true;
}
