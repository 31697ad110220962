/* NVIDIA's driver on a machine without one: libcuda.so.1 and libnvidia-ml.so.1 in one file, as far as ampbench asks them.
 *
 * NVML tells of boards that draw 500 W at 1,980 MHz; CUDA starts and finds no device (error 100). What CI cannot have,
 * the GPU, is missing; all before it is real: who starts which library, with which boards visible, and what becomes of
 * the answers.
 *
 *   STAND_IN_BOARDS  product names, a ';' between two; "NVIDIA H200" if unset. A name that begins with '!' is cut by MIG.
 *   STAND_IN_PIDS    processes that NVML lists as computing on every board, a ',' between two
 *   STAND_IN_LOG     file: a line for every start of a library: function, pid, parent, CUDA_VISIBLE_DEVICES
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long long u64;
enum { NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, CUDA_NO_DEVICE = 100, MOST = 64 };

static void note(const char *what) {
    const char *path = getenv("STAND_IN_LOG"), *visible = getenv("CUDA_VISIBLE_DEVICES");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file) return;
    fprintf(file, "%s %d %d %s\n", what, getpid(), getppid(), visible ? visible : "unset");
    fclose(file);
}

/* libcuda */

int cuInit(unsigned flags) { note("cuInit"); return CUDA_NO_DEVICE; }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
static int no_device(void) { note("cuda"); return CUDA_NO_DEVICE; }
int cuGetProcAddress_v2(const char *symbol, void **function, int version, u64 flags, int *status) {
    *function = !strcmp(symbol, "cuInit") ? (void *)cuInit
              : !strcmp(symbol, "cuDriverGetVersion") ? (void *)cuDriverGetVersion
              : !strcmp(symbol, "cuGetProcAddress") ? (void *)cuGetProcAddress_v2 : (void *)no_device;
    if (status) *status = 0;
    return 0;
}
int cuGetProcAddress(const char *symbol, void **function, int version, u64 flags) {
    return cuGetProcAddress_v2(symbol, function, version, flags, NULL);
}

/* libnvidia-ml: a handle is the board's number from 1, a slice's is 100 more */

static unsigned boards(char names[MOST][96]) {
    const char *given = getenv("STAND_IN_BOARDS");
    char text[4096], *rest = text, *name;
    unsigned count = 0;
    snprintf(text, sizeof text, "%s", given ? given : "NVIDIA H200");
    while ((name = strsep(&rest, ";")) && count < MOST) snprintf(names[count++], 96, "%s", name);
    return count;
}
static int is_slice(void *handle) { return (long)handle > 100; }
static unsigned index_of(void *handle) { return (unsigned)((long)handle - 1) % 100; }
static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

int nvmlInitWithFlags(unsigned flags) { note("nvmlInit"); return 0; }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int error) { return error == NOT_FOUND ? "Not Found" : "stand-in's error"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "580.159.04"); return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) {
    char names[MOST][96];
    *count = boards(names);
    return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **handle) { *handle = (void *)(long)(i + 1); return 0; }
int nvmlDeviceGetUUID(void *handle, char *text, unsigned size) {
    snprintf(text, size, "%s-%08u-2222-3333-4444-555555555555", is_slice(handle) ? "MIG" : "GPU", index_of(handle));
    return 0;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    char names[MOST][96], text[96];
    unsigned count = boards(names);
    for (long i = 1; i <= count; i++)
        for (long slice = 0; slice <= 100; slice += 100) {
            *handle = (void *)(i + slice);
            nvmlDeviceGetUUID(*handle, text, sizeof text);
            if (!strcmp(text, uuid) && (!slice || names[i - 1][0] == '!')) return 0;
        }
    return NOT_FOUND;
}
int nvmlDeviceGetName(void *handle, char *text, unsigned size) {
    char names[MOST][96];
    boards(names);
    const char *name = names[index_of(handle)];
    snprintf(text, size, "%s%s", name + (name[0] == '!'), is_slice(handle) ? " MIG 1g.18gb" : "");
    return 0;
}
int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending) {
    char names[MOST][96];
    boards(names);
    *current = *pending = names[index_of(handle)][0] == '!';
    return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count) {
    char names[MOST][96];
    boards(names);
    *count = names[index_of(handle)][0] == '!' ? 7 : 0;
    return 0;
}
int nvmlDeviceGetMigDeviceHandleByIndex(void *board, unsigned i, void **handle) {
    *handle = (void *)((long)board + 100);
    return i ? NOT_FOUND : 0;
}
int nvmlDeviceGetGpuInstanceId(void *handle, unsigned *id) { *id = 9; return 0; }
int nvmlDeviceGetComputeInstanceId(void *handle, unsigned *id) { *id = 0; return 0; }
typedef struct { char legacy[16]; unsigned domain, bus, device, device_id, sub_id; char bus_id[32]; } Place;
int nvmlDeviceGetPciInfo_v3(void *handle, Place *place) {
    snprintf(place->bus_id, sizeof place->bus_id, "00000000:%02X:00.0", 0xEA + index_of(handle));
    return 0;
}
int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *mw) { *mw = 700000; return 0; }
int nvmlDeviceGetTotalEnergyConsumption(void *handle, u64 *mj) { *mj = (u64)(500e3 * now_s()); return 0; }
int nvmlDeviceGetPowerUsage(void *handle, unsigned *mw) { *mw = 500000; return 0; }
int nvmlDeviceGetClockInfo(void *handle, int clock, unsigned *mhz) { *mhz = clock == 2 ? 3201 : 1980; return 0; }
int nvmlDeviceGetCurrentClocksEventReasons(void *handle, u64 *reasons) { *reasons = 0; return 0; }
int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius) { *celsius = 55; return 0; }
int nvmlDeviceGetPerformanceState(void *handle, int *state) { *state = 0; return 0; }
int nvmlDeviceGetViolationStatus(void *handle, int policy, void *status) { return NOT_SUPPORTED; }
int nvmlDeviceGetMemoryInfo(void *handle, u64 *total_free_used) {
    for (int i = 0; i < 3; i++) total_free_used[i] = (u64[]){139, 138, 1}[i] << 30;
    return 0;
}
typedef struct { unsigned pid; u64 used; unsigned gpu_instance, compute_instance; } Process;
int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *size, Process *found) {
    const char *given = getenv("STAND_IN_PIDS");
    char text[1024], *rest = text, *word;
    unsigned pids[MOST], count = 0, room = *size;
    snprintf(text, sizeof text, "%s", given ? given : "");
    while ((word = strsep(&rest, ",")) && count < MOST)
        if (*word) pids[count++] = (unsigned)atoi(word);
    *size = count;
    if (count && (!found || room < count)) return INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < count; i++) found[i] = (Process){pids[i], 1ull << 30, -1u, -1u};
    return 0;
}
int nvmlSystemGetProcessName(unsigned pid, char *text, unsigned size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%u/comm", pid);
    FILE *file = fopen(path, "r");
    if (!file) return NOT_FOUND;
    if (!fgets(text, size, file)) text[0] = 0;
    text[strcspn(text, "\n")] = 0;
    fclose(file);
    return 0;
}
