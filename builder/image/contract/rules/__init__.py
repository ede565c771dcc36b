"""The rules, one a file: each takes the image and gives what breaks it."""

from builder.image.contract.rules import build_path, glibc, interpreter, lua_ffi, needed, run_path, shadow, writable

RULES = (
    interpreter.check,
    needed.check,
    run_path.check,
    glibc.check,
    writable.check,
    build_path.check,
    shadow.check,
    lua_ffi.check,
)
