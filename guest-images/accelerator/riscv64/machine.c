// SPDX-License-Identifier: GPL-2.0
/*
 * QEMU's virt board (hw/riscv/virt.c, virt_memmap) below firmware in M-mode, which is asked
 * for counters by SBI calls: a 16550, and counters of cycles and of instructions, whose
 * overflow is the local interrupt 13 (Sscofpmf).
 */
#include "../probe.h"

#define UART			0x10000000
#define UART_LINE_STATUS	5
#define STATUS_EMPTY		0x20

/* RISC-V Supervisor Binary Interface Specification 1.0 */
#define SBI_BASE		0x10
#define BASE_PROBE		3
#define SBI_RESET		0x53525354
#define SBI_PMU			0x504d55
#define PMU_NUM_COUNTERS	0
#define PMU_CONFIG		2	/* counter_config_matching */
#define PMU_START		3
#define PMU_STOP		4
#define START_SET_VALUE		BIT(0)
#define EVENT_CYCLES		1
#define EVENT_INSTRUCTIONS	2

/* RISC-V Privileged Architecture; Sscofpmf */
#define INTERRUPT_OVERFLOW	13
#define SSTATUS_SIE		BIT(1)
#define SCOUNTOVF		"0xda0"
#define FIRST_PROGRAMMABLE	3
#define LAST_READ		8

#define read(csr)	({ u64 got; asm volatile("csrr %0, " csr : "=r"(got) : : "memory"); got; })
#define set(csr, what)	asm volatile("csrs " csr ", %0" : : "r"((u64)(what)) : "memory")
#define clear(csr, what) asm volatile("csrc " csr ", %0" : : "r"((u64)(what)) : "memory")

struct answer {
	long error;
	u64 value;
};

void note_interrupt(u64 cause);

static u64 counters, places[COUNTERS], values[COUNTERS];

static struct answer call(u64 extension, u64 function, u64 first, u64 second, u64 third,
			  u64 fourth)
{
	register u64 a0 asm("a0") = first, a1 asm("a1") = second, a2 asm("a2") = third;
	register u64 a3 asm("a3") = fourth, a4 asm("a4") = 0, a5 asm("a5") = 0;
	register u64 a6 asm("a6") = function, a7 asm("a7") = extension;

	asm volatile("ecall" : "+r"(a0), "+r"(a1)
		     : "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a6), "r"(a7) : "memory");
	return (struct answer) { a0, a1 };
}

void spin(u32 iterations)
{
	u64 left = iterations;

	asm volatile("1: addi %0, %0, -1\n\tbnez %0, 1b" : "+r"(left));
}

void put(char c)
{
	volatile u8 *uart = (u8 *)UART;

	while (!(uart[UART_LINE_STATUS] & STATUS_EMPTY))
		;
	*uart = c;
}

void leave(void)
{
	call(SBI_RESET, 0, 0, 0, 0, 0);
	for (;;)
		asm volatile("wfi");
}

void start_machine(void)
{
	set("sie", BIT(INTERRUPT_OVERFLOW));
	set("sstatus", SSTATUS_SIE);
}

bool find_pmu(void)
{
	if (!call(SBI_BASE, BASE_PROBE, SBI_PMU, 0, 0, 0).value) {
		say("pmu none: the firmware has no SBI extension PMU\n");
		return false;
	}
	if (!(read("sie") & BIT(INTERRUPT_OVERFLOW))) {
		say("pmu none: sie has no bit 13, which Sscofpmf has\n");
		return false;
	}
	counters = call(SBI_PMU, PMU_NUM_COUNTERS, 0, 0, 0, 0).value;
	say("pmu SBI PMU and Sscofpmf, counters of hardware and firmware ");
	say_number(counters);
	say("\n");
	return true;
}

/* Counters have events, which the firmware finds places for; it writes the value at the start. */
void set_counter(int n, u64 value)
{
	if (!places[n])
		places[n] = call(SBI_PMU, PMU_CONFIG, FIRST_PROGRAMMABLE,
				 BIT(LAST_READ - FIRST_PROGRAMMABLE + 1) - 1, 0,
				 n ? EVENT_INSTRUCTIONS : EVENT_CYCLES).value;
	values[n] = value;
}

void start_counters(int number)
{
	for (int n = 0; n < number; n++)
		call(SBI_PMU, PMU_START, places[n], 1, START_SET_VALUE, values[n]);
}

void stop_counters(int number)
{
	for (int n = 0; n < number; n++)
		call(SBI_PMU, PMU_STOP, places[n], 1, 0, 0);
}

u64 read_counter(int n)
{
	switch (places[n]) {
	case 3: return read("hpmcounter3");
	case 4: return read("hpmcounter4");
	case 5: return read("hpmcounter5");
	case 6: return read("hpmcounter6");
	case 7: return read("hpmcounter7");
	case 8: return read("hpmcounter8");
	}
	return 0;
}

/* A counter that is stopped and started interrupts again. */
void note_interrupt(u64 cause)
{
	u64 over = read(SCOUNTOVF);

	if (cause != (BIT(63) | INTERRUPT_OVERFLOW))
		unexpected(cause, read("sepc"));
	clear("sip", BIT(INTERRUPT_OVERFLOW));
	for (int n = 0; n < COUNTERS; n++) {
		if (!places[n] || !(over & BIT(places[n])))
			continue;
		call(SBI_PMU, PMU_STOP, places[n], 1, 0, 0);
		values[n] = read_counter(n);
		overflowed(n);
		call(SBI_PMU, PMU_START, places[n], 1, START_SET_VALUE, values[n]);
	}
}
