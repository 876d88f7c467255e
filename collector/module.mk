# Sources of jaga-collector and of jaga (cli/).
COLLECTOR_SRCS +=
CLI_SRCS +=
