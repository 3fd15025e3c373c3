/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the host put into an ivshmem device's memory: for each file, a page that
 * begins with the name and the size, and then what is in the file, up to the end of
 * a page.  A page without a name ends them.
 */
#ifndef SAVED_RECEIVE_H
#define SAVED_RECEIVE_H

#include <stddef.h>

/* The device's memory, from its file in sysfs (resource2_wc), and its size. */
const unsigned char *given_at(const char *bar, size_t *size);

/* Write the files that are there; they go where we are. */
void receive(const unsigned char *memory, size_t size);

#endif
