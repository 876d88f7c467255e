#   make check-debian-guest   installs the Debian packages in an emulated Debian 12 with systemd (root; 5 minutes)

DEBIAN_ROOT := $(GUEST_DIR)/debian/root.ext4
$(DEBIAN_ROOT): tests/debian/root.sh tests/debian/root.list tests/debian/serve.service tests/guest/root/serve
	@mkdir -p $(@D) && tests/debian/root.sh tests/debian/root.list $@

check-debian-guest: ready setup-cross
	@$(MAKE) --no-print-directory $(QUIET) $(PARALLEL) packages-debian
	@$(MAKE) --no-print-directory $(QUIET) guest-x86_64 $(DEBIAN_ROOT)
	@$(PYTHON) -m pytest -q tests/debian/guest_packages.py

.PHONY: check-debian-guest
