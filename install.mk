#   make install     binaries, man pages, completion, examples, systemd units; DESTDIR and PREFIX as usual
#   make uninstall   takes them away again; /etc/jaga and /var/lib/jaga* stay
#   make check-docs  man pages are clean; --help, man pages and completion say the same
#
# Nothing is started, and no configuration is written: the last lines say how to go on.

BINDIR      ?= $(PREFIX)/bin
SBINDIR     ?= $(PREFIX)/sbin
MANDIR      ?= $(PREFIX)/share/man
DOCDIR      ?= $(PREFIX)/share/doc/jaga
COMPDIR     ?= $(PREFIX)/share/bash-completion/completions
UNITDIR     ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
SYSCONFDIR  ?= /etc

MAN_PAGES  = $(wildcard docs/man/*.[1-8])
EXAMPLES   = $(wildcard docs/*.conf.example)
UNITS      = jaga-agent.service jaga-script.socket jaga-script@.service jaga-collector.service

# FROM:TO of every file that is copied as it is, with its mode.
INSTALL_PROGRAMS = $(B)/jaga:$(BINDIR)/jaga $(B)/jaga-agent:$(SBINDIR)/jaga-agent \
	$(B)/jaga-collector:$(SBINDIR)/jaga-collector
INSTALL_TEXTS = $(foreach page,$(MAN_PAGES),$(page):$(MANDIR)/man$(subst .,,$(suffix $(page)))/$(notdir $(page))) \
	$(foreach file,$(EXAMPLES) README.md CHANGELOG.md LICENSE,$(file):$(DOCDIR)/$(notdir $(file))) \
	docs/completion/jaga.bash:$(COMPDIR)/jaga \
	docs/systemd/sysusers-agent.conf:$(SYSUSERSDIR)/jaga-agent.conf \
	docs/systemd/sysusers-collector.conf:$(SYSUSERSDIR)/jaga-collector.conf
INSTALL_UNITS = $(foreach unit,$(UNITS),docs/systemd/$(unit).in:$(UNITDIR)/$(unit))

install_from = $(firstword $(subst :, ,$(1)))
install_to   = $(DESTDIR)$(lastword $(subst :, ,$(1)))

define install_file
$(call say,INSTALL,$(call install_to,$(1)))
$(Q)install -D -m $(2) $(call install_from,$(1)) $(call install_to,$(1))

endef
define install_unit
$(call say,INSTALL,$(call install_to,$(1)))
$(Q)install -d $(dir $(call install_to,$(1)))
$(Q)sed 's|@SBINDIR@|$(SBINDIR)|' $(call install_from,$(1)) >$(call install_to,$(1))
$(Q)chmod 644 $(call install_to,$(1))

endef

install: all
	$(foreach file,$(INSTALL_PROGRAMS),$(call install_file,$(file),755))
	$(foreach file,$(INSTALL_TEXTS),$(call install_file,$(file),644))
	$(foreach file,$(INSTALL_UNITS),$(call install_unit,$(file)))
	$(Q)install -d $(DESTDIR)$(SYSCONFDIR)/jaga
	@echo 'Installed. Users jaga-agent and jaga: systemd-sysusers && systemctl daemon-reload. On the server:'
	@echo '  cp $(DOCDIR)/collector.conf.example /etc/jaga/collector.conf, edit it, systemctl enable --now jaga-collector'
	@echo 'On a router: put agent.conf and agent.key of `jaga enroll` into /etc/jaga, jaga-agent --check,'
	@echo '  systemctl enable --now jaga-agent'

uninstall:
	rm -f $(foreach file,$(INSTALL_PROGRAMS) $(INSTALL_TEXTS) $(INSTALL_UNITS),$(call install_to,$(file)))
	rmdir --ignore-fail-on-non-empty $(DESTDIR)$(DOCDIR)

check-docs: all
	@mandoc -T lint -W warning $(MAN_PAGES)
	@$(PYTHON) tests/check_docs.py $(B)

.PHONY: install uninstall check-docs
