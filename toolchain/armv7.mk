# ARMv7-A with VFPv3-D16: RouterOS containers on 32-bit ARM routers.
TARGET_TOOLS := arm-linux-gnueabihf-
TARGET_CPU   := arm
TARGET_ARCH  := -march=armv7-a -mfpu=vfpv3-d16 -mfloat-abi=hard -mthumb
TARGET_MUSL  := arm-linux-musleabihf
TARGET_UAPI  := /usr/arm-linux-gnueabihf/include
TARGET_FLOAT := hard
TARGET_PIE   := yes
TARGET_QEMU  := qemu-arm-static -cpu cortex-a7
