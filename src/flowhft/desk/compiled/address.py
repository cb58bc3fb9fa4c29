"""Compiled functions by their address: how one compiled loop calls whatever it is given.

A loop that took a compiled function itself as an argument would be compiled again for each. Given an address
it is compiled once, and kept on disk; `function_at` makes a first-class function of it there. An address is a
whole number, which costs a call from Python nothing, where numba needs tens of microseconds to take in a
function.
"""

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def function_at(signature: Any) -> Any:
    """Return what turns an address into a function of this signature, within compiled code.

    Args:
        signature: numba's, of a C function or of one that numba compiled.

    Returns:
        To be called by compiled code with the address, a whole number; it gives the function.
    """
    function = types.FunctionType(signature)

    def at(typingctx: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            made = cgutils.create_struct_proxy(function)(context, builder)
            pointer = context.get_value_type(types.voidptr)
            made.c_addr = builder.inttoptr(arguments[0], pointer)
            made.py_addr = made.jit_addr = cgutils.get_null_value(pointer)
            return made._getvalue()

        return function(types.int64), generate

    return intrinsic(at)


def address_of(dispatcher: Any) -> int:
    """Return the address of a compiled function of one signature; it holds as long as the function lives."""
    (result,) = dispatcher.overloads.values()
    return result.library.get_pointer_to_function(result.fndesc.llvm_cfunc_wrapper_name)
