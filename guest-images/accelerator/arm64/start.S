/* SPDX-License-Identifier: GPL-2.0 */
/* From QEMU's loader, at EL1 without MMU, to C. */
	.text
	.globl	start
start:
	adrp	x0, stack_end
	mov	sp, x0
	adr	x0, vectors
	msr	vbar_el1, x0
	isb
	bl	probe

	.macro	entry what
	.balign	128
	b	\what
	.endm

/* Arm ARM, "Exception vectors": four of each kind; ours are at EL1 with its own stack. */
	.balign	2048
vectors:
	.rept	5
	entry	on_exception
	.endr
	entry	on_interrupt
	.rept	10
	entry	on_exception
	.endr

on_exception:
	mrs	x0, esr_el1
	mrs	x1, elr_el1
	bl	unexpected

/* Registers that a C function may use, and where it was. */
on_interrupt:
	sub	sp, sp, #160
	stp	x0, x1, [sp]
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x30, [sp, #144]
	bl	note_interrupt
	ldp	x0, x1, [sp]
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
	ldp	x18, x30, [sp, #144]
	add	sp, sp, #160
	eret

	.bss
	.balign	4096
	.skip	16384
stack_end:
	.skip	4096
