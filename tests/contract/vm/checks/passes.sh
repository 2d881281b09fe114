#!/bin/sh
# Reads a file that lies beside it.
test "$(cat data.txt)" = "some data" && uname -s
