# dcn: one plain Makefile.
#
#   make figures   figures 1 and 2 of the paper, measured on this machine (quick version)
#   make check     proves that everything works
#
# Sources are found by their names:
#   *_test.c   a cmocka program beside what it tests     *_fuzz.c   a libFuzzer target
#   *_main.c   a program (table PROGS below)             *_stack.c  the driver's side of a stack
# Objects go to $(BUILD); `make BUILD=build/asan SAN=address,undefined` makes another kind.

BUILD   ?= build
ifeq ($(origin CC),default)
CC       = gcc
endif
CFLAGS  ?= -O2 -g
prefix  ?= /usr/local
WERROR  ?=
SAN     ?=
WARN     = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla $(WERROR)
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo 0.1)

ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -I. $(WARN) $(CFLAGS) $(if $(SAN),-fsanitize=$(SAN) \
             -fno-sanitize-recover=all -fno-omit-frame-pointer) -pthread
ALL_LDFLAGS = $(LDFLAGS) $(if $(SAN),-fsanitize=$(SAN)) -pthread -Wl,--as-needed

# program <- its main file; all link against every room's archive, the linker takes what is used
PROGS = dcn:harness/dcn_main.c dcn-load:workloads/load_main.c dcn-wan:workloads/wan_main.c \
        dcn-null:stacks/null/null_main.c atlas:stacks/atlas/atlas_main.c \
        iowindow:workloads/iowindow_main.c aead-bench:stacks/atlas/tls/aead_bench_main.c \
        nvme-check:workloads/nvme_check_main.c atlas-catalog:stacks/atlas/nvme/catalog_main.c nvme-example:stacks/atlas/nvme/example_main.c dcn-whatif:collectors/whatif_main.c
PROGS := $(foreach p,$(PROGS),$(if $(wildcard $(lastword $(subst :, ,$p))),$p))
prog_names = $(foreach p,$(PROGS),$(firstword $(subst :, ,$p)))

SRC    := $(sort $(filter-out stacks/atlas/nvme/diskmap/%, \
          $(foreach d,base harness collectors workloads stacks,$(shell find $d -name '*.c'))))
MAINS  := $(filter %_main.c,$(SRC))
TESTS  := $(filter %_test.c,$(SRC))
FUZZ   := $(filter %_fuzz.c,$(SRC))
LIBSRC := $(filter-out $(MAINS) $(TESTS) $(FUZZ),$(SRC))
LIB     = $(BUILD)/libdcn.a
obj     = $(patsubst %.c,$(BUILD)/%.o,$1)

LDLIBS = -lcurl -lssl -lcrypto -lIPSec_MB -luring -lpfm -ljansson -linih -lnvme -lm
JEMALLOC = $(if $(SAN),,-ljemalloc)

.PHONY: all deps figures figures-all figures-full bench check check-nvme lint fuzz install uninstall \
        clean tests fuzzers
.SECONDARY:
.DELETE_ON_ERROR:

all: $(addprefix $(BUILD)/,$(prog_names))
tests: $(patsubst %.c,$(BUILD)/%,$(TESTS))
fuzzers: $(patsubst %.c,$(BUILD)/%,$(FUZZ))

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -DDCN_VERSION='"$(VERSION)"' -MMD -MP -c -o $@ $<

$(LIB): $(call obj,$(LIBSRC))
	@rm -f $@
	$(AR) rcs $@ $^

define prog_rule
$(BUILD)/$(firstword $(subst :, ,$1)): $(call obj,$(lastword $(subst :, ,$1))) $(LIB)
	$$(CC) $$(ALL_CFLAGS) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LDLIBS) $$(if $$(filter atlas,$$(@F)),$$(JEMALLOC))
endef
$(foreach p,$(PROGS),$(eval $(call prog_rule,$p)))

$(BUILD)/%_test: $(BUILD)/%_test.o $(LIB)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

# The HTTP parser is compared with llhttp, from the sources in Debian's node-llhttp if they are there.
LLHTTP := $(wildcard /usr/share/llhttp/*.c)
$(BUILD)/stacks/atlas/http/llhttp_test: private LDLIBS += $(if $(LLHTTP),-w \
        -DLLHTTP_STRICT_MODE=1 -I/usr/share/include/llhttp $(LLHTTP))

$(BUILD)/%_fuzz: $(BUILD)/%_fuzz.o $(LIB)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

deps:
	@tests/deps

check: deps
	@tests/run check

check-nvme:
	@tests/run check-nvme

lint:
	@tests/run lint

fuzz:
	@tests/run fuzz

figures figures-all figures-full bench: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@tests/$@

install: all
	@tests/install $(DESTDIR)$(prefix) $(BUILD) install
uninstall:
	@tests/install $(DESTDIR)$(prefix) $(BUILD) uninstall

clean:
	rm -rf build

-include $(patsubst %.o,%.d,$(call obj,$(SRC)))
