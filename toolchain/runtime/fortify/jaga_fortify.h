/*
 * The words of which the headers of this folder are made; see string.h.
 *
 * FORTIFY(type) opens a definition that takes the place of a library function in every call that is compiled, and
 * leaves the function itself, which a pointer still finds. FORTIFY_ROOM stops the program when object has less room
 * than n; of an object of unknown size the compiler says SIZE_MAX, and drops the comparison.
 */
#ifndef JAGA_FORTIFY_H
#define JAGA_FORTIFY_H

#define FORTIFY(type) \
	extern __inline __attribute__((__always_inline__, __gnu_inline__, __artificial__)) type

#define FORTIFY_ROOM(object, n) \
	do { \
		if ((n) > __builtin_object_size(object, 0)) \
			__builtin_trap(); \
	} while (0)

#endif
