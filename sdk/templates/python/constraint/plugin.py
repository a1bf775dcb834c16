"""`{{word}}(KEY, LEAST)`: nodes whose label KEY is a number of at least LEAST."""

import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.constraint import CompiledInfo, Plan_Ask
from wit_world.imports.types import (
    Claim_Call,
    ColumnRef,
    ColumnType,
    Metadata,
    OptionSpec,
    OptionType_Boolean,
    Problem,
)

FORM = re.compile(r"\s*{{word}}\(\s*([^,()]+?)\s*,\s*([^,()]+?)\s*\)\s*")
HINT = "try {{word}}(KEY, 4)"


class Plugin(exports.Plugin):
    def describe(self):
        return Metadata(
            name="{{publisher}}/{{name}}",
            version="0.1.0",
            summary="{{summary}}",
            claims=[Claim_Call("{{word}}")],
            options=[
                OptionSpec(
                    name="absent",
                    help="whether nodes without the label pass",
                    ty=OptionType_Boolean(),
                    required=False,
                    default="false",
                )
            ],
            grants=[],
        )


class Constraint(exports.Constraint):
    # Reads an expression; what is raised refuses the service.
    def compile(self, expression, options):
        key, least = read(expression)
        return CompiledInfo(
            plan=Plan_Ask(),
            reads=[ColumnRef(f"node.labels.{key}", ColumnType.NUMBER)],
            reason=f"node.labels.{key} is below {least:g}",
        )

    # One verdict per row: a combination of values that nodes have, not a node.
    def test(self, expression, options, batch):
        _, least = read(expression)
        absent = next(option.value.value for option in options if option.name == "absent")
        column = batch.columns[0]
        return [
            value >= least if present else absent
            for present, value in zip(column.present, column.cells.value)
        ]


def read(expression):
    match = FORM.fullmatch(expression)
    if match is None:
        raise refused("bad-call", f"'{expression}' is not of the form {{word}}(…)")
    key, least = match.groups()
    try:
        return key, float(least)
    except ValueError:
        raise refused("bad-number", f"'{least}' is no number") from None


def refused(code, message):
    return Err([Problem(code, message, option_name=None, at=None, hint=HINT)])
