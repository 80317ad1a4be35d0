#!/bin/sh
# Compiles testify (Debian's golang-github-stretchr-testify-dev), and of the standard library what
# isn't compiled already, into the directory $1, which will be $2; lists everything in importcfg,
# for `go tool compile` and `go tool link`.
set -eu
out=$1
export GOCACHE="$out/cache" GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS= GOTOOLCHAIN=local
export HOME="$out"
mkdir -p "$out/packages"
wanted=std
for package in github.com/stretchr/testify/assert github.com/stretchr/testify/require; do
    if go list -deps "$package" >/dev/null 2>&1; then
        wanted="$wanted $package"
    else
        echo "missing: $package (golang-github-stretchr-testify-dev)"
    fi
done
# shellcheck disable=SC2086  # several words
go list -deps -export -f '{{if .Export}}{{.ImportPath}} {{.Export}}{{end}}' $wanted >"$out/list"
while read -r package file; do
    case $file in
    "$GOCACHE"/*)
        name=$(echo "$package" | tr / _).a
        cp "$file" "$out/packages/$name"
        file=$2/packages/$name
        ;;
    esac
    echo "packagefile $package=$file"
done <"$out/list" >"$out/importcfg"
rm -rf "$GOCACHE" "$out/list" "$out/.config"
