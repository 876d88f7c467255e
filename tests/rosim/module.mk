# The simulated RouterOS router (README.md).
#   make check-rosim   asks the simulated router with clients that were not written here
#   make check-rosim JAGA_CHR_IMAGE=FILE   the same of RouterOS itself (chr.py), and how the two differ
NODE_CLIENTS := build/rosim-node/node_modules/.package-lock.json

check-rosim: setup-bench $(NODE_CLIENTS)
	@$(PYTHON) -m pytest -q -p no:cacheprovider -rs tests/rosim tests/workloads

# From npm as the lock has them, by hash; no script of theirs is run. Debian's npm serves where there is none.
$(NODE_CLIENTS): tests/rosim/node/package.json tests/rosim/node/package-lock.json
	@command -v npm >/dev/null || toolchain/setup.sh toolchain/packages-node.list
	$(call say,NPM,$(<D))
	$(Q)rm -rf build/rosim-node && mkdir -p build/rosim-node && cp $^ build/rosim-node/
	$(Q)cd build/rosim-node && npm ci --ignore-scripts --no-audit --no-fund >npm.log 2>&1 || { cat npm.log >&2; exit 1; }
	$(Q)touch $@

.PHONY: check-rosim
