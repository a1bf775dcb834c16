# Made by `swarmw plugin build`: what a call raises besides a refusal is a fault, which
# ends the instance; it is told before that, for `swarmw plugin test` and `plugin logs`.
import plugin as own
from componentize_py_types import Err
from wit_world.imports import host


def told(functions):
    def call(name, run):
        def guarded(*arguments):
            try:
                return run(*arguments)
            except Err:
                raise
            except BaseException as error:
                log(name, error)
                raise

        return guarded

    calls = {
        name: call(name, run)
        for name, run in vars(functions).items()
        if callable(run) and not name.startswith("_")
    }
    return type(functions.__name__, (functions,), calls)


# As a traceback; that of the library would look into the sources, and there are no files.
def log(name, error):
    lines = [f"{name}: {type(error).__name__}: {error}"]
    at = error.__traceback__.tb_next
    while at is not None:
        code = at.tb_frame.f_code
        lines.insert(1, f"    at {code.co_name} ({code.co_filename}:{at.tb_lineno})")
        at = at.tb_next
    for line in lines:
        host.log(host.Level.ERROR, line)


Plugin = told(own.Plugin)
KIND = told(own.KIND)
