#!/bin/sh
# sh tools/install_llama.sh VERSION PIP...: llama-cpp-python from source, as fast as this machine allows, but without AMX.
#
# GCC (seen: 12.2) takes ldtilecfg for a read of 8 bytes and leaves out the stores to the other 56: on a processor with AMX
# llama.cpp dies of SIGSEGV at the first quantised product. A wheel that pip kept from an earlier build may have it in.
set -eu
version=$1
shift
flags="-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
"${CC:-cc}" $flags -E -x c /dev/null >/dev/null 2>&1 || flags=""  # Another processor, or a compiler that knows no AMX.
export CFLAGS="${CFLAGS:-} $flags" CXXFLAGS="${CXXFLAGS:-} $flags" CMAKE_BUILD_PARALLEL_LEVEL="$(nproc)"
"$@" --no-binary llama-cpp-python "llama-cpp-python==$version"
if [ -n "$flags" ] && grep -qs ggml_backend_amx_mul_mat "$VENV"/lib/python3*/site-packages/llama_cpp/lib/libggml-cpu.so; then
  echo "The build that pip had kept uses AMX, which the compiler gets wrong: building it again."
  "$VENV/bin/python" -m pip cache remove -q 'llama_cpp_python*'
  "$@" --force-reinstall --no-deps --no-binary llama-cpp-python "llama-cpp-python==$version"
fi
