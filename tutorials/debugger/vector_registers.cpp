// gdb before 14 writes vector registers from a buffer that is too small on processors with AMX (Intel's Xeons from 2023 on): Linux takes
// the whole state or nothing, "Couldn't write extended state status", so gdb can call no function of the program. bin/gdb has
// gdb load this ptrace, which then gives Linux the state it has with gdb's part of it written over.
#include <dlfcn.h>
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstring>

extern "C" long ptrace(__ptrace_request request, ...) noexcept {
    using Ptrace = long (*)(__ptrace_request, pid_t, void*, void*);
    static const auto of_libc = reinterpret_cast<Ptrace>(dlsym(RTLD_NEXT, "ptrace"));
    std::va_list arguments;
    va_start(arguments, request);
    const auto process = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void*), *data = va_arg(arguments, void*);
    va_end(arguments);

    const long result = of_libc(request, process, address, data);
    if (request != PTRACE_SETREGSET || reinterpret_cast<std::uintptr_t>(address) != NT_X86_XSTATE || result == 0 ||
        errno != EFAULT)
        return result;
    alignas(64) char state[1 << 16];
    iovec whole{state, sizeof state};
    const auto* part = static_cast<const iovec*>(data);
    if (of_libc(PTRACE_GETREGSET, process, address, &whole) != 0 || part->iov_len > whole.iov_len) return -1;
    std::memcpy(state, part->iov_base, part->iov_len);
    return of_libc(PTRACE_SETREGSET, process, address, &whole);
}
