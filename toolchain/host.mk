# Target "host": this machine's own compiler. Another target is another file like this one, chosen by TARGET=name.

TARGET_CC     ?= $(CC)
TARGET_AR     ?= $(AR)
TARGET_CFLAGS ?= -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
# What cmake must know to cross-compile (CMAKE_SYSTEM_NAME, CMAKE_SYSTEM_PROCESSOR); nothing here.
TARGET_CMAKE  ?=
