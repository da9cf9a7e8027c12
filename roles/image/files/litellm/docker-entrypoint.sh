#!/bin/sh
# As in the upstream image: options alone are options of litellm.
set -eu
case ${1:-} in
    "" | -*) set -- litellm "$@" ;;
esac
exec "$@"
