"""`--mount type=volume,volume-driver={{name}},volume-opt=size=1GiB`: a file system of its
own size in an image file on the node."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.volume import (
    Arg,
    ImageStep,
    Measure,
    MountStep,
    Scope,
    Step_FormatIfBlank,
    Step_GrowFileSystem,
    Step_ImageFile,
    Step_LoopDevice,
    Step_Mount,
    Step_RemoveTree,
    Value_Device,
)
from wit_world.imports.types import (
    Claim_Name,
    Grant,
    GrantRequest_Mount,
    Metadata,
    OptionSpec,
    OptionType_Size,
    Problem,
)

# The least that mkfs.ext4 makes a file system of.
SIZE_MIN = 2 << 20
IMAGE = "image"


class Plugin(exports.Plugin):
    def describe(self):
        return Metadata(
            name="{{publisher}}/{{name}}",
            version="0.1.0",
            summary="{{summary}}",
            claims=[Claim_Name("{{name}}")],
            options=[
                OptionSpec(
                    name="size",
                    help="how large the volume is",
                    ty=OptionType_Size(),
                    required=False,
                    default="1GiB",
                )
            ],
            grants=[Grant(GrantRequest_Mount(("ext4", "loop")), "each volume is an image file")],
        )


# What the node's agent does; the driver plans, and does nothing itself.
class Volume(exports.Volume):
    # What is raised refuses the volume.
    def check(self, vol):
        if size(vol) < SIZE_MIN:
            raise Err([Problem("too-small", "a volume has 2 MiB at least", "size", None, None)])
        return Scope.LOCAL

    def plan_create(self, vol, node):
        return [
            Step_ImageFile(ImageStep(IMAGE, size(vol))),
            Step_LoopDevice(IMAGE),
            Step_FormatIfBlank("ext4"),
        ]

    def plan_mount(self, vol, node, read_only):
        options = [Arg("ro", None)] if read_only else []
        return [
            Step_LoopDevice(IMAGE),
            Step_Mount(MountStep("ext4", Arg("", Value_Device()), options)),
        ]

    def plan_remove(self, vol, node):
        return [Step_RemoveTree(IMAGE)]

    def expand(self, vol, node, larger):
        return [
            Step_ImageFile(ImageStep(IMAGE, larger)),
            Step_LoopDevice(IMAGE),
            Step_GrowFileSystem(),
        ]

    def usage(self, vol, node):
        return Measure.FILE_SYSTEM


def size(vol):
    return next(option.value.value for option in vol.options if option.name == "size")
