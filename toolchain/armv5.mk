# ARMv5TE without FPU: RouterOS containers on the hEX refresh (EN7562CT runs them in this mode alone).
TARGET_TOOLS := arm-linux-gnueabi-
TARGET_CPU   := arm
TARGET_ARCH  := -marm -march=armv5te -mfloat-abi=soft
TARGET_MUSL  := arm-linux-musleabi
TARGET_UAPI  := /usr/arm-linux-gnueabi/include
TARGET_FLOAT := soft
TARGET_PIE   := yes
TARGET_QEMU  := qemu-arm-static -cpu arm946
