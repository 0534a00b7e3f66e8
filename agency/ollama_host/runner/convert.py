"""Rewrites a GGUF through llama.cpp: `COPY` keeps the tensors and makes the layout canonical, else it quantises."""

import ctypes
from pathlib import Path

import llama_cpp

FILE_TYPES = {"F32": 0, "F16": 1, "Q8_0": 7, "Q4_K_S": 14, "Q4_K_M": 15}


def rewrite(source: Path, target: Path, file_type: str) -> bool:
    """Write `target` from `source`; False where llama.cpp refuses the file. An abort ends this process."""
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.nthread = 1
    if file_type == "COPY":
        parameters.only_copy = True
    else:
        parameters.ftype = FILE_TYPES[file_type]
    code = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters))
    return bool(code == 0)
