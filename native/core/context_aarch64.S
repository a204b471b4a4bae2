/* The switch for AArch64, AAPCS64.
 *
 * What is saved is what a called function must preserve: x19-x28, the frame pointer x29, the link
 * register x30, the low halves of v8-v15, and FPCR (rounding and exception masks belong to the
 * function).  There is no red zone.
 *
 * A saved context is a stack pointer to:
 *
 *   +0x00  x19 x20      +0x50  x29 x30 (where to go on)
 *   +0x10  x21 x22      +0x60  d8  d9
 *   +0x20  x23 x24      +0x70  d10 d11
 *   +0x30  x25 x26      +0x80  d12 d13
 *   +0x40  x27 x28      +0x90  d14 d15
 *                       +0xa0  FPCR, padding
 */
        .text

        .macro save
        sub     sp, sp, #0xb0
        .cfi_adjust_cfa_offset 0xb0
        stp     x19, x20, [sp, #0x00]
        stp     x21, x22, [sp, #0x10]
        stp     x23, x24, [sp, #0x20]
        stp     x25, x26, [sp, #0x30]
        stp     x27, x28, [sp, #0x40]
        stp     x29, x30, [sp, #0x50]
        stp     d8, d9, [sp, #0x60]
        stp     d10, d11, [sp, #0x70]
        stp     d12, d13, [sp, #0x80]
        stp     d14, d15, [sp, #0x90]
        mrs     x9, fpcr
        str     x9, [sp, #0xa0]
        mov     x9, sp
        str     x9, [x0]
        .endm

        .macro load
        ldr     x9, [sp, #0xa0]
        msr     fpcr, x9
        ldp     x19, x20, [sp, #0x00]
        ldp     x21, x22, [sp, #0x10]
        ldp     x23, x24, [sp, #0x20]
        ldp     x25, x26, [sp, #0x30]
        ldp     x27, x28, [sp, #0x40]
        ldp     x29, x30, [sp, #0x50]
        ldp     d8, d9, [sp, #0x60]
        ldp     d10, d11, [sp, #0x70]
        ldp     d12, d13, [sp, #0x80]
        ldp     d14, d15, [sp, #0x90]
        add     sp, sp, #0xb0
        .cfi_adjust_cfa_offset -0xb0
        ret
        .endm

/* void lpf__switch(void **save [x0], void *to [x1]) */
        .globl  lpf__switch
        .hidden lpf__switch
        .type   lpf__switch, %function
        .p2align 4
lpf__switch:
        .cfi_startproc
        save
        mov     sp, x1
        load
        .cfi_endproc
        .size   lpf__switch, .-lpf__switch

/* void lpf__enter(void **save [x0], void *top [x1], void *(*start)(void *) [x2], void *argument [x3]) */
        .globl  lpf__enter
        .hidden lpf__enter
        .type   lpf__enter, %function
        .p2align 4
lpf__enter:
        .cfi_startproc
        save
        b       begin
        .cfi_endproc
        .size   lpf__enter, .-lpf__enter

/* The first thing on a new stack.  Unwinders stop here: there is no return address. */
        .type   begin, %function
        .p2align 4
begin:
        .cfi_startproc
        .cfi_undefined x30
        mov     sp, x1
        mov     x0, x3
        mov     x29, xzr                /* The end of the chain of frame pointers. */
        mov     x30, xzr
        blr     x2
        mov     sp, x0
        .cfi_def_cfa_offset 0xb0
        .cfi_restore x30
        load
        .cfi_endproc
        .size   begin, .-begin

        .section .note.GNU-stack, "", %progbits
