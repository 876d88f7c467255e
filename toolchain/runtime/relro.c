/*
 * Makes read-only what needs no writing after a static-pie program has relocated itself.
 *
 * The linker gathers pointers that only relocation writes (tables of functions above all) in the segment
 * PT_GNU_RELRO. A dynamic loader protects it, and glibc's start code does for static programs; musl's does not.
 * Linked into every static-pie by the compiler that toolchain/sysroot.sh writes; runs before main(). A program at a
 * fixed address has no such segment: the same tables lie in .rodata.
 */
#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>

/* The linker's: where this program lies. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));

__attribute__((constructor)) static void protect_relro(void)
{
	const ElfW(Phdr) *header = (const ElfW(Phdr) *)getauxval(AT_PHDR);
	uintptr_t page_mask = ~((uintptr_t)getauxval(AT_PAGESZ) - 1);
	unsigned long n = getauxval(AT_PHNUM);

	for (; header != NULL && n > 0; header++, n--) {
		uintptr_t from, to;

		if (header->p_type != PT_GNU_RELRO)
			continue;
		from = ((uintptr_t)__ehdr_start + header->p_vaddr) & page_mask;
		to = ((uintptr_t)__ehdr_start + header->p_vaddr + header->p_memsz) & page_mask;
		/* A program that cannot be protected does not start. */
		if (to > from && mprotect((void *)from, to - from, PROT_READ) < 0)
			abort();
	}
}
