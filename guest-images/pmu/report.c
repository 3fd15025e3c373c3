// SPDX-License-Identifier: GPL-2.0
/* Lines on the debug console; failures are kept by each CPU, and told by the first. */
#include "pmu.h"

#define DEBUG_CONSOLE	0xe9

struct text {
	char *to;		/* or the console */
	size_t left;
};

static void put(struct text *text, char c)
{
	if (!text->to) {
		out8(DEBUG_CONSOLE, c);
	} else if (text->left > 1) {
		*text->to++ = c;
		text->left--;
	}
}

static void put_number(struct text *text, u64 value, unsigned int base)
{
	char digits[24];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (n)
		put(text, digits[--n]);
}

static void put_string(struct text *text, const char *string)
{
	while (*string)
		put(text, *string++);
}

/* %s %c %d %u %x, and %ld %lu %lx */
static void format_text(struct text *text, const char *format, va_list args)
{
	for (; *format; format++) {
		bool is_long = false;
		long value;

		if (*format != '%') {
			put(text, *format);
			continue;
		}
		if (*++format == 'l') {
			is_long = true;
			format++;
		}
		switch (*format) {
		case 's':
			put_string(text, va_arg(args, const char *));
			break;
		case 'd':
			value = is_long ? va_arg(args, long) : va_arg(args, int);
			if (value < 0)
				put(text, '-');
			put_number(text, value < 0 ? -value : value, 10);
			break;
		case 'u':
		case 'x':
			put_number(text, is_long ? va_arg(args, u64) : va_arg(args, u32),
				   *format == 'x' ? 16 : 10);
			break;
		default:
			put(text, *format);
		}
	}
	if (text->to)
		*text->to = 0;
}

void print(const char *format, ...)
{
	struct text text = { 0 };
	va_list args;

	va_start(args, format);
	format_text(&text, format, args);
	va_end(args);
}

static struct text message(void)
{
	struct cpu *cpu = this_cpu();
	int n = cpu->failures++;

	return (struct text){ cpu->messages[n < MESSAGES ? n : MESSAGES - 1], MESSAGE };
}

void fail(const char *format, ...)
{
	struct text text = message();
	va_list args;

	va_start(args, format);
	format_text(&text, format, args);
	va_end(args);
}

void skip(const char *why)
{
	this_cpu()->skipped = why;
}

void check_that(u64 got, u64 want, const char *format, ...)
{
	struct text text;
	va_list args;

	if (got == want)
		return;
	text = message();
	put_string(&text, "expected ");
	put_number(&text, want, want > MASK / 2 ? 16 : 10);
	put_string(&text, " got ");
	put_number(&text, got, want > MASK / 2 ? 16 : 10);
	put_string(&text, " (");
	va_start(args, format);
	format_text(&text, format, args);
	va_end(args);
	put(&text, ')');
	*text.to = 0;
}
