/*
 * malloccount: an LD_PRELOAD library that counts allocations of a running program, for the test that the
 * agent makes none once it has settled. The count, a 64-bit number, is the content of the file that
 * MALLOCCOUNT names. Children made by fork count, too. libev's own do not: its arrays grow when more events than
 * ever before wait at once, which a busy machine can bring about at any time, and never beyond the number of watchers.
 */
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t number, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
int posix_memalign(void **ret_memory, size_t alignment, size_t size);
void *aligned_alloc(size_t alignment, size_t size);

static uint64_t before_start;
static uint64_t *count = &before_start;
static uintptr_t libev_from, libev_to; /* its code */

static int find_libev(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	if (!strstr(info->dlpi_name, "/libev."))
		return 0;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type != PT_LOAD || !(info->dlpi_phdr[i].p_flags & PF_X))
			continue;
		libev_from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
		libev_to = libev_from + info->dlpi_phdr[i].p_memsz;
	}
	return 1;
}

__attribute__((constructor)) static void open_count(void)
{
	const char *path = getenv("MALLOCCOUNT");
	int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	void *shared;

	dl_iterate_phdr(find_libev, NULL);
	if (fd < 0 || ftruncate(fd, sizeof(*count)) < 0)
		return;
	shared = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (shared != MAP_FAILED)
		count = shared;
}

static void add_one(void *caller)
{
	if ((uintptr_t)caller >= libev_from && (uintptr_t)caller < libev_to)
		return;
	__atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size)
{
	add_one(__builtin_return_address(0));
	return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
	add_one(__builtin_return_address(0));
	return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size)
{
	add_one(__builtin_return_address(0));
	return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	add_one(__builtin_return_address(0));
	return __libc_memalign(alignment, size);
}

int posix_memalign(void **ret_memory, size_t alignment, size_t size)
{
	add_one(__builtin_return_address(0));
	*ret_memory = __libc_memalign(alignment, size);
	return *ret_memory ? 0 : 12 /* ENOMEM */;
}
