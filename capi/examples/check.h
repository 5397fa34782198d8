/* What the examples share: which device, and what to do when a call is refused. */

#ifndef EXAMPLE_CHECK_H
#define EXAMPLE_CHECK_H

#include "expert_gemm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program with the library's own sentence. */
#define CHECK(call)                                                                    \
    do {                                                                               \
        if ((call) != EG_STATUS_OK) {                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, eg_last_error());       \
            exit(1);                                                                   \
        }                                                                              \
    } while (0)

/* Opens the CPU if the program was called with --cpu, else GPU 0. Without one it says so and takes the CPU, unless
 * REQUIRE_GPU=1 forbids it. */
static inline eg_device *open_device(int argc, char **argv) {
    eg_device *device = NULL;
    char text[128];
    int cpu = argc > 1 && strcmp(argv[1], "--cpu") == 0;
    if (!cpu && eg_device_open(0, &device) != EG_STATUS_OK) {
        const char *require = getenv("REQUIRE_GPU");
        fprintf(stderr, "no GPU: %s\n", eg_last_error());
        if (require != NULL && strcmp(require, "1") == 0) exit(1);
        cpu = 1;
    }
    if (cpu) CHECK(eg_device_open(EG_CPU, &device));
    eg_device_describe(device, text, sizeof text);
    printf("device: %s\n", text);
    return device;
}

/* Device memory that holds a copy of host memory. */
static inline eg_buffer *upload(const eg_device *device, const void *data, uint64_t bytes) {
    eg_buffer *buffer = NULL;
    CHECK(eg_buffer_create(device, bytes, &buffer));
    CHECK(eg_buffer_upload(buffer, data, bytes));
    return buffer;
}

/* A buffer as a packed tensor; dimensions of 0 are left out. */
static inline eg_tensor tensor(const eg_buffer *buffer, eg_element element, uint64_t d0, uint64_t d1, uint64_t d2) {
    eg_tensor tensor = {eg_buffer_data(buffer), element, 0, {d0, d1, d2}, NULL};
    tensor.rank = 1 + (d1 != 0) + (d2 != 0);
    return tensor;
}

/* Prints why the plan is as it is. */
static inline void explain(const eg_plan *plan) {
    size_t length = eg_plan_explain(plan, NULL, 0);
    char *text = malloc(length + 1);
    if (text == NULL) exit(1);
    eg_plan_explain(plan, text, length + 1);
    printf("%s\n", text);
    free(text);
}

/* Ends the program if the status word says that the group tables are wrong. */
static inline void check_status(const eg_buffer *status) {
    uint32_t word = 0;
    char text[512];
    CHECK(eg_buffer_download(status, &word, sizeof word));
    if (eg_group_status_text(word, text, sizeof text) != 0) {
        fprintf(stderr, "group tables: %s\n", text);
        exit(1);
    }
}

/* The number that a bf16 stands for. */
static inline float from_bf16(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float number;
    memcpy(&number, &wide, sizeof number);
    return number;
}

#endif
