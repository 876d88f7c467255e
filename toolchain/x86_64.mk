# x86-64, the first generation: RouterOS containers on CHR, PCs under any Linux.
TARGET_TOOLS := x86_64-linux-gnu-
TARGET_CPU   := x86_64
TARGET_ARCH  := -march=x86-64
TARGET_MUSL  := x86_64-linux-musl
TARGET_UAPI  := /usr/include /usr/include/x86_64-linux-gnu
TARGET_FLOAT := hard
TARGET_PIE   := yes
TARGET_QEMU  := qemu-x86_64-static
