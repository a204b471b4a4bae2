/* The switch for x86-64, System V ABI.
 *
 * What is saved is what a called function must preserve: rbx, rbp, r12-r15, the control half of
 * MXCSR and the x87 control word (rounding and exception masks belong to the function, as the ABI
 * says).  The red zone needs no care: a switch is a call, and nothing lives below rsp across one.
 * A switch out of a signal handler is the same call; the rest of the interrupted registers lies in
 * the signal frame, which the kernel restores when the handler returns.
 *
 * A saved context is a stack pointer to:
 *
 *   +0x00  MXCSR (4 bytes), x87 control word (2), padding (2)
 *   +0x08  r15
 *   +0x10  r14
 *   +0x18  r13
 *   +0x20  r12
 *   +0x28  rbx
 *   +0x30  rbp
 *   +0x38  return address
 */
        .text

        .macro save
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movq    %rsp, (%rdi)
        .endm

        .macro load
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        popq    %r14
        .cfi_adjust_cfa_offset -8
        popq    %r13
        .cfi_adjust_cfa_offset -8
        popq    %r12
        .cfi_adjust_cfa_offset -8
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .endm

/* void lpf__switch(void **save [rdi], void *to [rsi]) */
        .globl  lpf__switch
        .hidden lpf__switch
        .type   lpf__switch, @function
        .p2align 4
lpf__switch:
        .cfi_startproc
        save
        movq    %rsi, %rsp
        load
        /* Not ret: the processor's return stack still expects the caller on the old stack. */
        popq    %rcx
        .cfi_adjust_cfa_offset -8
        .cfi_register rip, rcx
        jmpq    *%rcx
        .cfi_endproc
        .size   lpf__switch, .-lpf__switch

/* void lpf__enter(void **save [rdi], void *top [rsi], void *(*start)(void *) [rdx], void *argument [rcx]) */
        .globl  lpf__enter
        .hidden lpf__enter
        .type   lpf__enter, @function
        .p2align 4
lpf__enter:
        .cfi_startproc
        save
        jmp     begin
        .cfi_endproc
        .size   lpf__enter, .-lpf__enter

/* The first thing on a new stack.  Unwinders stop here: there is no return address. */
        .type   begin, @function
        .p2align 4
begin:
        .cfi_startproc
        .cfi_undefined rip
        movq    %rsi, %rsp
        movq    %rcx, %rdi
        xorl    %ebp, %ebp              /* The end of the chain of frame pointers. */
        callq   *%rdx
        movq    %rax, %rsp
        .cfi_def_cfa_offset 0x40
        .cfi_restore rip
        load
        ret                             /* Matches the call of lpf__enter in a function that was never paused. */
        .cfi_endproc
        .size   begin, .-begin

        .section .note.GNU-stack, "", @progbits
