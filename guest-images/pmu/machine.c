// SPDX-License-Identifier: GPL-2.0
/* One CPU's tables, its local APIC, and how the first CPU works with the others. */
#include "pmu.h"

#define MSR_APIC_BASE		0x01b
#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_FMASK		0xc0000084
#define MSR_GS_BASE		0xc0000101
#define FMASK_BITS		0x47700		/* AC NT IOPL DF IF TF */

#define GATE_INTERRUPT		0x8e00
#define GATE_USER		0x6000

#define ICR_INIT		0x4500
#define ICR_STARTUP		0x4600
#define ICR_FIXED		0x4000

#define AREAS			0x40000000ull	/* the CPUs' areas begin at */
#define AREA_SIZE		0x200000
#define AREA_PAGES		3
#define PAGE			4096

#define PIC1_MASK		0x21
#define PIC2_MASK		0xa1

#define EXIT_PORT		0xf4
#define EXIT_PASSED		0x10		/* isa-debug-exit: status 33 */
#define EXIT_FAILED		0x11		/* 35 */

struct cpu cpu_data[CPUS];
static u64 area_table[CPUS][512] __attribute__((aligned(PAGE)));
static u8 area_memory[CPUS][AREA_PAGES][PAGE] __attribute__((aligned(PAGE)));

void main_test(void);

static void put_gate(struct cpu *cpu, int vector, const void *handler)
{
	u64 address = (u64)handler;
	bool user = vector == VECTOR_INT || vector == VECTOR_BP || vector == VECTOR_OF;

	cpu->idt[vector] = (struct gate){
		.offset0 = address,
		.selector = KERNEL_CS,
		.type = GATE_INTERRUPT | (user ? GATE_USER : 0),
		.offset1 = address >> 16,
		.offset2 = address >> 32,
	};
}

void set_gate(int vector, const void *handler)
{
	put_gate(this_cpu(), vector, handler);
}

void reset_gate(int vector)
{
	set_gate(vector, exceptions + 16 * vector);
}

static void load_tables(struct cpu *cpu)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) idt = {
		sizeof(cpu->idt) - 1, (u64)cpu->idt
	};
	u64 tss = (u64)&cpu->tss;
	u64 *entry = &gdt[TSS_SELECTOR / 8 + 2 * cpu->id];

	for (int vector = 0; vector < 32; vector++)
		put_gate(cpu, vector, exceptions + 16 * vector);
	put_gate(cpu, VECTOR_NMI, on_nmi);
	put_gate(cpu, VECTOR_BP, on_int);
	put_gate(cpu, VECTOR_OF, on_int);
	put_gate(cpu, VECTOR_INT, on_int);
	put_gate(cpu, VECTOR_NOT, on_int);
	put_gate(cpu, VECTOR_TIMER, on_timer);
	put_gate(cpu, VECTOR_PMI, on_pmi);
	put_gate(cpu, VECTOR_WAKE, on_wake);
	asm volatile("lidt %0" : : "m"(idt));

	cpu->tss.rsp[0] = (u64)(cpu->trap_stack + STACK);
	cpu->tss.io_map = sizeof(cpu->tss);
	entry[0] = (sizeof(cpu->tss) - 1) | (tss & 0xffffff) << 16 |
		   0x89ull << 40 | (tss >> 24 & 0xff) << 56;
	entry[1] = tss >> 32;
	asm volatile("ltr %w0" : : "r"(TSS_SELECTOR + 16 * cpu->id));
}

static void allow_system_calls(struct cpu *cpu)
{
	wrmsr(MSR_STAR, (u64)USER_CS32 << 48 | (u64)KERNEL_CS << 32);
	wrmsr(MSR_LSTAR, (u64)system_call);
	wrmsr(MSR_FMASK, FMASK_BITS);
	wrmsr(MSR_SYSENTER_CS, KERNEL_CS);
	wrmsr(MSR_SYSENTER_ESP, (u64)(cpu->trap_stack + STACK));
	wrmsr(MSR_SYSENTER_EIP, (u64)fast_system_call);
}

static void map_area(struct cpu *cpu)
{
	u64 *table = area_table[cpu->id];

	cpu->area = (char *)(AREAS + cpu->id * AREA_SIZE);
	for (int page = 0; page < AREA_PAGES; page++)
		table[page] = (u64)area_memory[cpu->id][page] | 7;
	page_directory[AREAS / AREA_SIZE + cpu->id] = (u64)table | 7;
	cpu->page = &table[1];
}

void page_present(bool present)
{
	struct cpu *cpu = this_cpu();

	*cpu->page = (*cpu->page & ~1ull) | present;
	asm volatile("invlpg (%0)" : : "r"(cpu->area + PAGE) : "memory");
}

static void start_cpu(u32 id)
{
	struct cpu *cpu = &cpu_data[id];

	cpu->self = cpu;
	cpu->id = id;
	wrmsr(MSR_GS_BASE, (u64)cpu);
	load_tables(cpu);
	allow_system_calls(cpu);
	map_area(cpu);
	apic_write(APIC_SVR, 0x1ff);
	apic_write(APIC_LVTPC, LVT_MASKED);
	apic_write(APIC_TIMER, LVT_MASKED);
	apic_write(APIC_DIVIDE, 0xb);		/* by 1 */
}

_Noreturn void start_bsp(void)
{
	start_cpu(0);
	out8(PIC1_MASK, 0xff);
	out8(PIC2_MASK, 0xff);
	main_test();
	leave(false);
}

_Noreturn void start_ap(u32 id)
{
	start_cpu(id);
	cpu_data[id].inits++;
	cpu_data[id].up = true;
	halt_for_jobs();
}

_Noreturn void halt_for_jobs(void)
{
	struct cpu *cpu = this_cpu();

	for (;;) {
		while (!cpu->job)
			asm volatile("sti; hlt; cli" : : : "memory");
		cpu->job();
		cpu->job = NULL;
	}
}

static void send(int id, u32 command)
{
	apic_write(APIC_ICR_HIGH, id << 24);
	apic_write(APIC_ICR, command);
}

void start_job(int id, bool (*job)(void))
{
	cpu_data[id].job = job;
	send(id, ICR_FIXED | VECTOR_WAKE);
}

void finish_job(int id)
{
	while (cpu_data[id].job)
		asm volatile("pause" : : : "memory");
}

void send_init(int id)
{
	cpu_data[id].up = false;
	send(id, ICR_INIT);
}

void send_startup(int id)
{
	for (const char *from = ap_start; from < ap_end; from++)
		((char *)TRAMPOLINE)[from - ap_start] = *from;
	send(id, ICR_STARTUP | TRAMPOLINE >> 12);
}

void wait_up(int id)
{
	while (!cpu_data[id].up)
		asm volatile("pause" : : : "memory");
}

_Noreturn void leave(bool passed)
{
	out8(EXIT_PORT, passed ? EXIT_PASSED : EXIT_FAILED);
	for (;;)
		asm volatile("cli; hlt");
}

_Noreturn void unexpected(u64 vector, u64 error, u64 rip, u64 cs, u64 cr2)
{
	print("not ok exception %lu error %lx at %lx:%lx cr2 %lx on CPU %u\n",
	      vector, error, cs, rip, cr2, this_cpu()->id);
	leave(false);
}
