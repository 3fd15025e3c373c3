/* SPDX-License-Identifier: GPL-2.0 */
/* From the firmware, in S-mode without MMU, to C. */
	.section .text.start, "ax"
	.globl	start
start:
	la	sp, stack_end
	la	t0, on_trap
	csrw	stvec, t0
	call	probe

/* Registers that a C function may use: 16 of 8 bytes. */
	.macro	each_saved what
	\what	ra, 0(sp)
	\what	t0, 8(sp)
	\what	t1, 16(sp)
	\what	t2, 24(sp)
	\what	t3, 32(sp)
	\what	t4, 40(sp)
	\what	t5, 48(sp)
	\what	t6, 56(sp)
	\what	a0, 64(sp)
	\what	a1, 72(sp)
	\what	a2, 80(sp)
	\what	a3, 88(sp)
	\what	a4, 96(sp)
	\what	a5, 104(sp)
	\what	a6, 112(sp)
	\what	a7, 120(sp)
	.endm

	.balign	4
on_trap:
	addi	sp, sp, -128
	each_saved sd
	csrr	a0, scause
	call	note_interrupt
	each_saved ld
	addi	sp, sp, 128
	sret

	.bss
	.balign	4096
	.skip	16384
stack_end:
