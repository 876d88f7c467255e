COMMON_SRCS += common/block.c common/buf.c common/clock.c common/err.c common/file.c common/ini.c common/log.c common/parse.c common/random.c common/uci.c common/wire.c
