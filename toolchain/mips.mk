# MIPS 24Kc, big-endian, no FPU: RB750, RB951, RB941 under OpenWrt (ath79, ar71xx). protobuf-c does not see that it is
# big-endian: its configure would have told it.
TARGET_TOOLS := mips-linux-gnu-
TARGET_CPU   := mips
TARGET_ARCH  := -EB -march=24kc -mabi=32 -msoft-float -mno-shared -mplt -DWORDS_BIGENDIAN
TARGET_DENSE := -mips16
TARGET_MUSL  := mips-linux-muslsf
TARGET_UAPI  := /usr/mips-linux-gnu/include
TARGET_FLOAT := soft
TARGET_OWN_LIBGCC := yes
TARGET_PIE   :=
TARGET_QEMU  := qemu-mips-static -cpu 24Kc
TARGET_DRIVERS := linux
