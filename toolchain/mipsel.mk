# MIPS 24Kc and 1004Kc, little-endian, no FPU: RB750Gr3 under OpenWrt (ramips).
TARGET_TOOLS := mipsel-linux-gnu-
TARGET_CPU   := mipsel
TARGET_ARCH  := -EL -march=24kc -mabi=32 -msoft-float -mno-shared -mplt
TARGET_DENSE := -mips16
TARGET_MUSL  := mipsel-linux-muslsf
TARGET_UAPI  := /usr/mipsel-linux-gnu/include
TARGET_FLOAT := soft
TARGET_OWN_LIBGCC := yes
TARGET_PIE   :=
TARGET_QEMU  := qemu-mipsel-static -cpu 24Kc
TARGET_DRIVERS := linux
