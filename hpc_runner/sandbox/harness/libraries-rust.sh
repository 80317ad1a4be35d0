#!/bin/sh
# Compiles the crates rand, regex and md5 with what they need (Debian's librust-rand-dev,
# librust-regex-dev, librust-md5-dev) into the directory $1, without cargo.
set -eu
out=$1/crates
mkdir -p "$out"

# crate NAME EDITION [rustc's further arguments]: "-" and "_" are one in the library's name
crate() {
    name=$1 edition=$2
    shift 2
    source=$(find /usr/share/cargo/registry -maxdepth 1 -name "$name-[0-9]*" 2>/dev/null | sort | tail -1)
    if [ -z "$source" ]; then
        echo "missing: $name (librust-$name-dev)"
        return 0
    fi
    rustc --crate-name "$(echo "$name" | tr - _)" --edition "$edition" --crate-type rlib -C opt-level=1 \
        --cap-lints allow -C debuginfo=0 -C codegen-units=1 -L "dependency=$out" --out-dir "$out" \
        --remap-path-prefix "$source=/$name" "$@" "$source/src/lib.rs"
}

# needs NAME...: rustc's arguments for crates that were compiled before
needs() {
    for needed in "$@"; do
        printf ' --extern %s=%s/lib%s.rlib' "$needed" "$out" "$needed"
    done
}

# features NAME...
features() {
    for feature in "$@"; do
        printf ' --cfg feature="%s"' "$feature"
    done
}

# What libc's build script says of a rustc of these years.
libc='libc_priv_mod_use libc_union libc_const_size_of libc_align libc_int128 libc_core_cvoid
    libc_packedN libc_cfg_target_vendor libc_non_exhaustive libc_long_array libc_ptr_addr_of
    libc_underscore_const_names libc_const_extern_fn'
# shellcheck disable=SC2046,SC2086  # several words
{
    crate libc 2015 $(for cfg in $libc; do echo "--cfg $cfg"; done) $(features std)
    crate cfg-if 2018
    crate getrandom 2018 $(features std) $(needs libc cfg_if)
    crate rand_core 2018 $(features std alloc getrandom) $(needs getrandom)
    crate ppv-lite86 2021 $(features std simd)
    crate rand_chacha 2018 $(features std) $(needs rand_core ppv_lite86)
    crate rand 2018 $(features std std_rng alloc getrandom libc default) \
        $(needs libc rand_core rand_chacha)
    crate regex-syntax 2018 $(features unicode unicode-age unicode-bool unicode-case \
        unicode-gencat unicode-perl unicode-script unicode-segment)
    crate regex 2018 $(features std unicode unicode-age unicode-bool unicode-case unicode-gencat \
        unicode-perl unicode-script unicode-segment perf-dfa perf-inline perf-cache) \
        $(needs regex_syntax)
    crate md5 2015 $(features std)
} 2>"$1/log" || {
    cat "$1/log" >&2
    exit 1
}
rm "$1/log"
