// SPDX-License-Identifier: GPL-2.0
/* AUX buffers; see aux.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "aux.h"
#include "perf.h"
#include "record.h"
#include "sideband.h"

#define WORD	sizeof(uint64_t)

struct aux_record {
	struct perf_event_header header;
	uint64_t offset, size, flags;
	struct sample_id id;
};

/* One word more, behind those that were seen. */
static void add_word(struct trace_words *words, uint64_t word)
{
	if (!words->number++)
		words->first = word;
	else if (word != words->last + 1)
		words->breaks++;
	words->last = word;
}

struct trace_words trace_words(const uint64_t *words, uint64_t number)
{
	struct trace_words found = { 0 };

	for (uint64_t i = 0; i < number; i++)
		add_word(&found, words[i]);
	return found;
}

/* Of bytes of a buffer that begins anew where it ends. */
static struct trace_words words_in_buffer(const struct counter *counter, uint64_t from,
					  uint64_t size)
{
	const uint64_t *buffer = counter->aux;
	struct trace_words found = { 0 };

	for (uint64_t place = from; place < from + size; place += WORD)
		add_word(&found, buffer[place % counter->aux_size / WORD]);
	return found;
}

void map_aux(struct counter *counter, size_t pages, bool overwrite)
{
	struct perf_event_mmap_page *page = counter->page;

	counter->aux_size = page->aux_size = pages * PAGE_SIZE;
	page->aux_offset = counter->mapped;
	counter->aux_overwrite = overwrite;
	counter->aux = mmap(NULL, counter->aux_size, PROT_READ | (overwrite ? 0 : PROT_WRITE),
			    MAP_SHARED, counter->fd, page->aux_offset);
	if (counter->aux == MAP_FAILED)
		record_die("mmap of an AUX buffer");
}

static void record_words(const char *what, uint64_t id, uint64_t time, uint64_t offset,
			 uint64_t size, uint64_t flags, const struct trace_words *words)
{
	record("{\"kind\":\"aux\",\"what\":\"%s\",\"id\":%" PRIu64 ",\"time\":%" PRIu64
	       ",\"offset\":%" PRIu64 ",\"size\":%" PRIu64 ",\"flags\":%" PRIu64
	       ",\"words\":[%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]}",
	       what, id, time, offset, size, flags,
	       words->number, words->first, words->last, words->breaks);
}

void record_aux(struct counter *counter, const struct perf_event_header *entry)
{
	struct trace_words words = { 0 };
	struct aux_record aux;

	if (entry->size != sizeof(aux))
		record_die("a PERF_RECORD_AUX of another size");
	memcpy(&aux, entry, sizeof(aux));
	if (!counter->aux || aux.size % WORD ||
	    (!counter->aux_overwrite && aux.size > counter->aux_size))
		record_die("a PERF_RECORD_AUX of what cannot be in the buffer");
	/* Of what is written over, something newer may be there by now. */
	if (!counter->aux_overwrite)
		words = words_in_buffer(counter, aux.offset, aux.size);
	record_words("stretch", aux.id.identifier, aux.id.time, aux.offset, aux.size, aux.flags,
		     &words);
	counter->aux_read = aux.offset + aux.size;
}

void leave_aux(struct counter *counter)
{
	struct trace_words words;
	uint64_t head, size;

	if (!counter->aux)
		return;
	if (!counter->aux_overwrite) {
		__atomic_store_n(&counter->page->aux_tail, counter->aux_read, __ATOMIC_RELEASE);
		return;
	}
	head = __atomic_load_n(&counter->page->aux_head, __ATOMIC_ACQUIRE);
	size = head < counter->aux_size ? head : counter->aux_size;
	words = words_in_buffer(counter, head - size, size);
	record_words("newest", counter->id, monotonic_ns(), head - size, size,
		     PERF_AUX_FLAG_OVERWRITE, &words);
}

void unmap_aux(struct counter *counter)
{
	if (counter->aux)
		munmap(counter->aux, counter->aux_size);
	counter->aux = NULL;
}
