COMMON_SRCS += common/buf.c common/clock.c common/err.c common/log.c common/parse.c common/wire.c
