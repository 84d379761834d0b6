/*
 * Preloaded, so that libcamera's virtual camera finds the buffers that a container's kernel does not
 * give: /dev/udmabuf and the heap become plain memory files.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct create { uint32_t memfd, flags; uint64_t offset, size; };
struct allocation { uint64_t size; uint32_t fd, fd_flags; uint64_t heap_flags; };

#define CREATE _IOW('u', 0x42, struct create)
#define ALLOCATE _IOWR('H', 0x0, struct allocation)

static int is_ours(const char *path)
{
	return path && (!strcmp(path, "/dev/udmabuf") || !strcmp(path, "/dev/dma_heap/linux,cma"));
}

#define OPENS(name)                                                     \
	int name(const char *path, int flags, ...)                      \
	{                                                               \
		int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name); \
		va_list rest;                                           \
		va_start(rest, flags);                                  \
		int mode = va_arg(rest, int);                           \
		va_end(rest);                                           \
		return real(is_ours(path) ? "/dev/null" : path, flags, mode); \
	}

OPENS(open)
OPENS(open64)

static int allocate(struct allocation *wanted)
{
	int fd = memfd_create("heap", MFD_CLOEXEC);
	if (fd < 0)
		return -1;
	if (ftruncate(fd, wanted->size)) {
		close(fd);
		return -1;
	}
	wanted->fd = fd;
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
	va_list rest;
	va_start(rest, request);
	void *argument = va_arg(rest, void *);
	va_end(rest);
	if ((unsigned)request == (unsigned)CREATE)
		return dup(((struct create *)argument)->memfd);
	if ((unsigned)request == (unsigned)ALLOCATE)
		return allocate(argument);
	/* Synchronising and naming a buffer mean nothing to a memory file. */
	if (_IOC_TYPE(request) == 'b' && _IOC_NR(request) <= 1)
		return 0;
	return real(fd, request, argument);
}
