// `--mount type=volume,volume-driver={{name}},volume-opt=size=1GiB`: a file system of
// its own size in an image file on the node.

export const plugin = {
  describe() {
    return {
      name: "{{publisher}}/{{name}}",
      version: "0.1.0",
      summary: "{{summary}}",
      claims: [{ tag: "name", val: "{{name}}" }],
      options: [
        {
          name: "size",
          help: "how large the volume is",
          ty: { tag: "size" },
          required: false,
          default: "1GiB",
        },
      ],
      grants: [
        {
          request: { tag: "mount", val: ["ext4", "loop"] },
          reason: "each volume is an image file",
        },
      ],
    };
  },
};

// The least that mkfs.ext4 makes a file system of.
const SIZE_MIN = 2 << 20;

const IMAGE = "image";

// What the node's agent does; the driver plans, and does nothing itself.
export const volume = {
  // What is thrown refuses the volume.
  check(vol) {
    if (size(vol) < SIZE_MIN) {
      throw [
        { code: "too-small", message: "a volume has 2 MiB at least", optionName: "size" },
      ];
    }
    return "local";
  },

  planCreate(vol, _node) {
    return [
      { tag: "image-file", val: { path: IMAGE, size: size(vol) } },
      { tag: "loop-device", val: IMAGE },
      { tag: "format-if-blank", val: "ext4" },
    ];
  },

  planMount(_vol, _node, readOnly) {
    return [
      { tag: "loop-device", val: IMAGE },
      {
        tag: "mount",
        val: {
          fsType: "ext4",
          source: { text: "", value: { tag: "device" } },
          options: readOnly ? [{ text: "ro" }] : [],
        },
      },
    ];
  },

  planRemove(_vol, _node) {
    return [{ tag: "remove-tree", val: IMAGE }];
  },

  expand(_vol, _node, larger) {
    return [
      { tag: "image-file", val: { path: IMAGE, size: larger } },
      { tag: "loop-device", val: IMAGE },
      { tag: "grow-file-system" },
    ];
  },

  usage(_vol, _node) {
    return "file-system";
  },
};

function size(vol) {
  return vol.options.find((option) => option.name === "size").value.val;
}
