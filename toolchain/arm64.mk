# ARMv8-A: RouterOS containers on 64-bit ARM routers.
TARGET_TOOLS := aarch64-linux-gnu-
TARGET_CPU   := aarch64
TARGET_ARCH  := -march=armv8-a -mno-outline-atomics
TARGET_MUSL  := aarch64-linux-musl
TARGET_UAPI  := /usr/aarch64-linux-gnu/include
TARGET_FLOAT := hard
TARGET_PIE   := yes
TARGET_QEMU  := qemu-aarch64-static -cpu cortex-a53
