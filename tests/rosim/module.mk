# The simulated RouterOS router (README.md).
#   make check-rosim   asks the simulated router with clients that were not written here
check-rosim: setup-cross
	@$(PYTHON) -m pytest -q -p no:cacheprovider tests/rosim tests/workloads

.PHONY: check-rosim
