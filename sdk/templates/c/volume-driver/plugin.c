// `--mount type=volume,volume-driver={{name}},volume-opt=size=1GiB`: a file system of its
// own size in an image file on the node.

#include <stdlib.h>
#include <string.h>

#include "swarmw.h"

// The least that mkfs.ext4 makes a file system of.
#define SIZE_MIN (2u << 20)

#define IMAGE "image"

void exports_plugin_describe(exports_plugin_metadata_t *ret) {
  swarmw_string_dup(&ret->name, "{{publisher}}/{{name}}");
  swarmw_string_dup(&ret->version, "0.1.0");
  swarmw_string_dup(&ret->summary, "{{summary}}");

  swarmw_claim_t *claim = calloc(1, sizeof *claim);
  claim->tag = SWARMW_CLAIM_NAME;
  swarmw_string_dup(&claim->val.name, "{{name}}");
  ret->claims = (swarmw_list_claim_t){claim, 1};

  swarmw_option_spec_t *size = calloc(1, sizeof *size);
  swarmw_string_dup(&size->name, "size");
  swarmw_string_dup(&size->help, "how large the volume is");
  size->ty.tag = SWARMW_OPTION_TYPE_SIZE;
  size->default_.is_some = true;
  swarmw_string_dup(&size->default_.val, "1GiB");
  ret->options = (swarmw_list_option_spec_t){size, 1};

  swarmw_grant_t *grant = calloc(1, sizeof *grant);
  grant->request.tag = SWARMW_GRANT_REQUEST_MOUNT;
  swarmw_string_dup(&grant->request.val.mount.f0, "ext4");
  swarmw_string_dup(&grant->request.val.mount.f1, "loop");
  swarmw_string_dup(&grant->reason, "each volume is an image file");
  ret->grants = (swarmw_list_grant_t){grant, 1};
}

// There is one option, filled in by the host.
static uint64_t size_of(const exports_volume_volume_t *vol) {
  return (uint64_t)vol->options.ptr[0].value.val.integer;
}

// What the node's agent does; the driver plans, and does nothing itself.
static exports_volume_step_t *plan(exports_volume_list_step_t *ret, size_t steps) {
  *ret = (exports_volume_list_step_t){calloc(steps, sizeof *ret->ptr), steps};
  return ret->ptr;
}

static void image_file(exports_volume_step_t *step, uint64_t size) {
  step->tag = EXPORTS_VOLUME_STEP_IMAGE_FILE;
  step->val.image_file.size = size;
  swarmw_string_dup(&step->val.image_file.path, IMAGE);
}

static void loop_device(exports_volume_step_t *step) {
  step->tag = EXPORTS_VOLUME_STEP_LOOP_DEVICE;
  swarmw_string_dup(&step->val.loop_device, IMAGE);
}

// `err` refuses the volume.
bool exports_volume_check(exports_volume_volume_t *vol, exports_volume_scope_t *ret,
                          exports_volume_list_problem_t *err) {
  bool good = size_of(vol) >= SIZE_MIN;
  *ret = EXPORTS_VOLUME_SCOPE_LOCAL;
  if (!good) {
    exports_volume_problem_t *problem = calloc(1, sizeof *problem);
    swarmw_string_dup(&problem->code, "too-small");
    swarmw_string_dup(&problem->message, "a volume has 2 MiB at least");
    problem->option_name.is_some = true;
    swarmw_string_dup(&problem->option_name.val, "size");
    *err = (exports_volume_list_problem_t){problem, 1};
  }
  exports_volume_volume_free(vol);
  return good;
}

bool exports_volume_plan_create(exports_volume_volume_t *vol, exports_volume_node_t *node,
                                exports_volume_list_step_t *ret,
                                exports_volume_volume_error_t *err) {
  exports_volume_step_t *steps = plan(ret, 3);
  image_file(&steps[0], size_of(vol));
  loop_device(&steps[1]);
  steps[2].tag = EXPORTS_VOLUME_STEP_FORMAT_IF_BLANK;
  swarmw_string_dup(&steps[2].val.format_if_blank, "ext4");
  exports_volume_volume_free(vol);
  exports_volume_node_free(node);
  return true;
}

bool exports_volume_plan_mount(exports_volume_volume_t *vol, exports_volume_node_t *node,
                               bool read_only, exports_volume_list_step_t *ret,
                               exports_volume_volume_error_t *err) {
  exports_volume_step_t *steps = plan(ret, 2);
  loop_device(&steps[0]);
  steps[1].tag = EXPORTS_VOLUME_STEP_MOUNT;
  exports_volume_mount_step_t *mount = &steps[1].val.mount;
  swarmw_string_dup(&mount->fs_type, "ext4");
  mount->source.value.is_some = true;
  mount->source.value.val.tag = EXPORTS_VOLUME_VALUE_DEVICE;
  if (read_only) {
    mount->options = (exports_volume_list_arg_t){calloc(1, sizeof *mount->options.ptr), 1};
    swarmw_string_dup(&mount->options.ptr[0].text, "ro");
  }
  exports_volume_volume_free(vol);
  exports_volume_node_free(node);
  return true;
}

bool exports_volume_plan_remove(exports_volume_volume_t *vol, exports_volume_node_t *node,
                                exports_volume_list_step_t *ret,
                                exports_volume_volume_error_t *err) {
  exports_volume_step_t *steps = plan(ret, 1);
  steps[0].tag = EXPORTS_VOLUME_STEP_REMOVE_TREE;
  swarmw_string_dup(&steps[0].val.remove_tree, IMAGE);
  exports_volume_volume_free(vol);
  exports_volume_node_free(node);
  return true;
}

bool exports_volume_expand(exports_volume_volume_t *vol, exports_volume_node_t *node,
                           uint64_t size, exports_volume_list_step_t *ret,
                           exports_volume_volume_error_t *err) {
  exports_volume_step_t *steps = plan(ret, 3);
  image_file(&steps[0], size);
  loop_device(&steps[1]);
  steps[2].tag = EXPORTS_VOLUME_STEP_GROW_FILE_SYSTEM;
  exports_volume_volume_free(vol);
  exports_volume_node_free(node);
  return true;
}

exports_volume_measure_t exports_volume_usage(exports_volume_volume_t *vol,
                                              exports_volume_node_t *node) {
  exports_volume_volume_free(vol);
  exports_volume_node_free(node);
  return EXPORTS_VOLUME_MEASURE_FILE_SYSTEM;
}
