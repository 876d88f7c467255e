# Target "host": this machine's own compiler. Another target is another file like this one, chosen by TARGET=name.
# Not CC and CFLAGS: an instrumented build of our own code (SAN=fuzz, SAN=cov) must not build the libraries again.

TARGET_CC     ?= gcc
TARGET_AR     ?= ar
TARGET_CFLAGS ?= -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
# What cmake must know to cross-compile (CMAKE_SYSTEM_NAME, CMAKE_SYSTEM_PROCESSOR); nothing here.
TARGET_CMAKE  ?=
