/* The C interface of expert-gemm: mixture-of-experts GEMM kernels for FP8 and MXFP8.
 *
 * Open a device, prepare a plan for the shapes, launch it as often as you like:
 *
 *     eg_device_open -> eg_fp8_grouped_mm_prepare -> eg_fp8_grouped_mm_launch, ...
 *
 * Every function may be called from any thread. None ends the process: whatever is refused is answered by a code,
 * and eg_last_error() says why. Handles are ended once, by the function that their type names.
 *
 * Made by cbindgen from capi/src; do not change it by hand. */

#ifndef EXPERT_GEMM_H
#define EXPERT_GEMM_H

#include <stddef.h>
#include <stdint.h>

// Version of this interface: of its functions, structs and codes.
#define EG_INTERFACE_VERSION 1

// The ordinal of the CPU.
#define EG_CPU -1

// Dimensions that an `eg_tensor` has room for.
#define EG_MAX_RANK 5

// What a call answers. Everything but `EG_STATUS_OK` is a refusal: nothing was launched, no tensor was touched,
// and `eg_last_error` says why in one sentence.
typedef enum eg_status {
  // Done, or on a GPU: launched.
  EG_STATUS_OK = 0,
  // A pointer, size, shape, stride, address or code is wrong. Change the arguments.
  EG_STATUS_INVALID_ARGUMENT = 1,
  // An element type is wrong. Convert the tensor.
  EG_STATUS_WRONG_ELEMENT_TYPE = 2,
  // There is no such device, or no driver for it. Check the machine, or use the CPU.
  EG_STATUS_NO_DEVICE = 3,
  // This device, or its driver, cannot run the operation. Use another one, or the CPU.
  EG_STATUS_UNSUPPORTED = 4,
  // Memory ran out. Free some, or ask for less.
  EG_STATUS_OUT_OF_MEMORY = 5,
  // A PTX module is damaged, missing or refused. Rebuild or reinstall.
  EG_STATUS_BAD_MODULE = 6,
  // The call comes at the wrong time, or the plan is for another operation or device.
  EG_STATUS_WRONG_ORDER = 7,
  // The driver refused a call for a reason of its own. The device still works.
  EG_STATUS_DRIVER = 8,
  // A kernel faulted: the process cannot use the device any more. Restart it.
  EG_STATUS_DEVICE_LOST = 9,
  // A fault of this library. Please report it.
  EG_STATUS_INTERNAL = 10,
} eg_status;

// The element types. 0 is none of them, so that a tensor of zeros is refused.
typedef enum eg_element {
  // bfloat16, 2 bytes.
  EG_ELEMENT_BF16 = 1,
  // IEEE binary16, 2 bytes.
  EG_ELEMENT_F16 = 2,
  // IEEE binary32, 4 bytes.
  EG_ELEMENT_F32 = 3,
  // 8-bit float, 4 exponent bits, 3 mantissa bits, no infinity (`float8_e4m3fn`).
  EG_ELEMENT_E4M3 = 4,
  // A power of two, 2^(byte - 127); 255 is NaN (`float8_e8m0fnu`). `EG_ELEMENT_U8` may stand for it.
  EG_ELEMENT_E8M0 = 5,
  // Signed 32-bit integer.
  EG_ELEMENT_I32 = 6,
  // Unsigned 32-bit integer.
  EG_ELEMENT_U32 = 7,
  // A byte.
  EG_ELEMENT_U8 = 8,
} eg_element;

// What a launch on a GPU checks before it launches.
typedef enum eg_checks {
  // Types, shapes, strides, alignment and overlap, and whether every tensor is memory of the device and long
  // enough: a question to the driver for each.
  EG_CHECKS_MEMORY = 0,
  // All but the memory: for pool allocators whose blocks the driver does not know one by one.
  EG_CHECKS_SHAPES = 1,
} eg_checks;

// How a scale follows from its 32 elements.
typedef enum eg_scale_rule {
  // What SGLang's operation gives: the smallest power of two with which no element exceeds 448. NaN elements are
  // left out unless all 32 are NaN.
  EG_SCALE_RULE_SGL = 0,
  // The same, but a NaN or Inf anywhere in a block makes its scale and all its codes NaN.
  EG_SCALE_RULE_STRICT = 1,
  // The rule of the OCP MX specification 1.0: large elements saturate. NaN and Inf as above.
  EG_SCALE_RULE_OCP_FLOOR = 2,
} eg_scale_rule;

// Memory of a device. Made by `eg_buffer_create`, and freed by `eg_buffer_free`, which first waits for the work
// that uses it.
typedef struct eg_buffer eg_buffer;

// A device. Every function that takes one may be called from any thread. Opened by `eg_device_open` or
// `eg_device_open_current`, and ended by `eg_device_close`.
typedef struct eg_device eg_device;

// An operation with its shapes, ready to be launched on one device. Launches may come from any thread. Made by the
// `eg_*_prepare` of an operation, and ended by `eg_plan_free`.
typedef struct eg_plan eg_plan;

// FP8 grouped product with f32 scales of blocks of 128, known as `es_fp8_blockwise_scaled_grouped_mm`:
//
// `output[m, n] = sum over kb of scales_a[m, kb] * scales_b[e, n / 128, kb] * (sum over k in block kb of a[m, k] * b[e, n, k])`
//
// for every row m of expert e. Upper bounds only: how the rows are split is read on the device, at each launch.
typedef struct eg_fp8_grouped_mm {
  // Rows of the packed activations and of the output, over all experts: T. 0 is ordinary.
  uint64_t rows;
  // Number of experts: E. 0 is ordinary.
  uint64_t experts;
  // Columns of the output: N, a multiple of 128.
  uint64_t n;
  // Elements of the reduction: K, a multiple of 128.
  uint64_t k;
  // Element type of the output: `EG_ELEMENT_BF16` or `EG_ELEMENT_F16`.
  uint32_t output;
  // An `eg_checks`.
  uint32_t checks;
} eg_fp8_grouped_mm;

// A tensor: address, element type, shape, and strides unless it is packed row-major. The memory is the
// caller's, on the device of the plan (host memory for the CPU), and stays allocated until the work is done.
typedef struct eg_tensor {
  // Address of element 0. NULL is ordinary where there are no elements.
  void *data;
  // An `eg_element`.
  uint32_t element;
  // Number of dimensions.
  uint32_t rank;
  // Lengths in elements, the innermost last. Entries from `rank` on are not read.
  uint64_t shape[EG_MAX_RANK];
  // `rank` strides in elements, so that the call can tell whether the tensor is packed; NULL says that it is.
  const uint64_t *strides;
} eg_tensor;

// The tensors of one call, packed row-major, all on the device of the plan.
typedef struct eg_fp8_grouped_mm_tensors {
  // `[T, N]` bf16 or f16, written. Rows that no expert owns keep their bytes. 16-byte aligned.
  struct eg_tensor output;
  // Activations `[T, K]` e4m3, packed by expert. 16-byte aligned.
  struct eg_tensor a;
  // Weights `[E, N, K]` e4m3. 16-byte aligned.
  struct eg_tensor b;
  // Activation scales `[T, K / 128]` f32.
  struct eg_tensor scales_a;
  // Weight scales `[E, N / 128, K / 128]` f32.
  struct eg_tensor scales_b;
  // (M, N, K) of each expert: `[E, 3]` i32.
  struct eg_tensor problem_sizes;
  // First packed row of each expert: `[E]` i32.
  struct eg_tensor expert_offsets;
  // Status word `[1]` u32, into which the call ORs what is wrong in the tables (`eg_group_status_text`); all zeros for none.
  struct eg_tensor status;
} eg_fp8_grouped_mm_tensors;

// MXFP8 grouped product, known as `es_sm100_mxfp8_blockscaled_grouped_mm`:
//
// `output[m, n] = sum over k of a[m, k] * 2^(sfa[m, k / 32] - 127) * b[e, n, k] * 2^(sfb[e, n, k / 32] - 127)`
//
// for every row m of expert e. Upper bounds only: how the rows are split is read on the device, at each launch.
typedef struct eg_mxfp8_grouped_mm {
  // Rows of the packed activations and of the output, over all experts: T. 0 is ordinary.
  uint64_t rows;
  // Number of experts: E. 0 is ordinary.
  uint64_t experts;
  // Columns of the output: N, a multiple of 128.
  uint64_t n;
  // Elements of the reduction: K, a multiple of 128.
  uint64_t k;
  // Rows of the packed activation scales: S, a multiple of 128. `eg_mxfp8_max_scale_rows` is always enough.
  uint64_t scale_rows;
  // Element type of the output: `EG_ELEMENT_BF16` or `EG_ELEMENT_F16`.
  uint32_t output;
  // An `eg_checks`.
  uint32_t checks;
} eg_mxfp8_grouped_mm;

// The tensors of one call, packed row-major, all on the device of the plan. Scales are e8m0 in atoms of 512 bytes: 128
// rows x 4 columns each.
typedef struct eg_mxfp8_grouped_mm_tensors {
  // `[T, N]` bf16 or f16, written. Rows that no expert owns keep their bytes. 16-byte aligned.
  struct eg_tensor output;
  // Activations `[T, K]` e4m3, packed by expert. 16-byte aligned.
  struct eg_tensor a;
  // Weights `[E, N, K]` e4m3. 16-byte aligned.
  struct eg_tensor b;
  // Activation scales `[S, K / 32]` e8m0 in atoms. 16-byte aligned.
  struct eg_tensor sfa;
  // Weight scales `[E, N, K / 32]` e8m0 in atoms. 16-byte aligned.
  struct eg_tensor sfb;
  // (M, N, K) of each expert: `[E, 3]` i32.
  struct eg_tensor problem_sizes;
  // First packed row of each expert: `[E]` i32.
  struct eg_tensor expert_offsets;
  // First scale row of each expert: `[E]` i32, multiples of 128.
  struct eg_tensor blockscale_offsets;
  // Status word `[1]` u32, into which the call ORs what is wrong in the tables (`eg_group_status_text`); all zeros for none.
  struct eg_tensor status;
} eg_mxfp8_grouped_mm_tensors;

// MXFP8 quantiser of grouped rows, known as `es_sm100_mxfp8_blockscaled_grouped_quant`:
//
// `quant_output[m, k] = e4m3(input[m, k] / 2^(s - 127))` with one scale byte s for each 32 elements of a row.
//
// Upper bounds only: how the rows are split among the experts is read on the device, at each launch.
typedef struct eg_mxfp8_grouped_quant {
  // Rows of the packed input, over all experts: T. 0 is ordinary.
  uint64_t rows;
  // Number of experts: E. 0 is ordinary.
  uint64_t experts;
  // Elements of a row: K, a multiple of 128.
  uint64_t k;
  // Rows of the packed scales: S, a multiple of 128. `eg_mxfp8_max_scale_rows` is always enough.
  uint64_t scale_rows;
  // Element type of the input: `EG_ELEMENT_BF16` or `EG_ELEMENT_F16`.
  uint32_t input;
  // An `eg_scale_rule`.
  uint32_t rule;
  // An `eg_checks`.
  uint32_t checks;
  // 0.
  uint32_t reserved;
} eg_mxfp8_grouped_quant;

// The tensors of one call, packed row-major, all on the device of the plan. N of the problem sizes is not read, so the
// table of a product serves its quantiser too.
typedef struct eg_mxfp8_grouped_quant_tensors {
  // `[T, K]` bf16 or f16, packed by expert. 16-byte aligned.
  struct eg_tensor input;
  // (M, N, K) of each expert: `[E, 3]` i32.
  struct eg_tensor problem_sizes;
  // First packed row of each expert: `[E]` i32.
  struct eg_tensor expert_offsets;
  // First scale row of each expert: `[E]` i32, multiples of 128.
  struct eg_tensor blockscale_offsets;
  // Codes `[T, K]` e4m3, written. Rows that no expert owns keep their bytes. 16-byte aligned.
  struct eg_tensor quant_output;
  // Scales `[S, K / 32]` e8m0 in atoms, written, padding rows as 0. Atoms that no expert owns keep their bytes. 16-byte
  // aligned.
  struct eg_tensor scale_factor;
  // Status word `[1]` u32, into which the call ORs what is wrong in the tables (`eg_group_status_text`); all zeros for none.
  struct eg_tensor status;
} eg_mxfp8_grouped_quant_tensors;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The interface version of the library, to be compared with `EG_INTERFACE_VERSION` of the header.
uint32_t eg_interface_version(void);

// The version of the library, such as `0.1.0`.
const char *eg_version(void);

// The sentence of the calling thread's last refusal: what was wrong, where, what is allowed, and what to do. Empty if there
// was none. Calls that succeed leave it alone. Valid until the next refusal on this thread, or its end.
const char *eg_last_error(void);

// Counts the GPUs that this process sees. Without a driver or a GPU the answer is `EG_STATUS_NO_DEVICE`, and the
// count 0.
//
// # Safety
//
// `count` is NULL or to a number.
enum eg_status eg_device_count(int32_t *count);

// Opens GPU `ordinal` (from 0) with its primary context, which the CUDA runtime and PyTorch use too; or the CPU, if
// `ordinal` is `EG_CPU`. After a refusal `*device` is NULL.
//
// # Safety
//
// `device` is NULL or to a pointer.
enum eg_status eg_device_open(int32_t ordinal, struct eg_device **device);

// Opens the GPU whose primary context is current on the calling thread: the one that `cudaSetDevice` chose. Without one,
// or with a context of `cuCtxCreate`, the answer is `EG_STATUS_WRONG_ORDER`. After a refusal `*device` is NULL.
//
// # Safety
//
// `device` is NULL or to a pointer.
enum eg_status eg_device_open_current(struct eg_device **device);

// Ends a device. Its plans and buffers live on. NULL is ordinary.
//
// # Safety
//
// `device` is NULL, or came from this library and is not used again.
void eg_device_close(struct eg_device *device);

// The ordinal: from 0 for a GPU, `EG_CPU` for the CPU. -2 if `device` is NULL.
//
// # Safety
//
// `device` is NULL or live.
int32_t eg_device_ordinal(const struct eg_device *device);

// Writes what the device is, such as `NVIDIA H200 (sm_90, 132 SMs)`, as `snprintf` does: at most `capacity` bytes, the
// last one 0. Returns the length of the whole text without the 0, or 0 after a refusal.
//
// # Safety
//
// `device` is NULL or live; `buffer` is NULL, or to `capacity` bytes.
size_t eg_device_describe(const struct eg_device *device, char *buffer, size_t capacity);

// Waits for all work of the device.
//
// # Safety
//
// `device` is NULL or live.
enum eg_status eg_device_synchronize(const struct eg_device *device);

// Allocates `bytes` bytes on a device, aligned to 256 bytes. 0 bytes are ordinary: their address is NULL. The memory of a
// GPU is not initialised. After a refusal `*buffer` is NULL.
//
// # Safety
//
// `device` is NULL or live; `buffer` is NULL or to a pointer.
enum eg_status eg_buffer_create(const struct eg_device *device,
                                uint64_t bytes,
                                struct eg_buffer **buffer);

// The address of the first byte, for `eg_tensor.data`; device memory cannot be read or written through it by the CPU.
// NULL for a buffer of 0 bytes, and if `buffer` is NULL.
//
// # Safety
//
// `buffer` is NULL or live.
void *eg_buffer_data(const struct eg_buffer *buffer);

// Copies `bytes` bytes from host memory to the start of a buffer, and waits.
//
// # Safety
//
// `buffer` is NULL or live; `data` is NULL, or to `bytes` bytes; nothing else uses the buffer meanwhile.
enum eg_status eg_buffer_upload(struct eg_buffer *buffer, const void *data, uint64_t bytes);

// Copies `bytes` bytes from the start of a buffer to host memory, and waits for the work before it on the default stream.
//
// # Safety
//
// `buffer` is NULL or live; `data` is NULL, or to `bytes` bytes that nobody else uses; nothing writes the buffer meanwhile.
enum eg_status eg_buffer_download(const struct eg_buffer *buffer,
                                  void *data,
                                  uint64_t bytes);

// Sets every byte of a buffer to `value`, in the order of `stream`.
//
// # Safety
//
// `buffer` is NULL or live; `stream` is a stream of the buffer's device, or NULL; nothing else uses the buffer meanwhile.
enum eg_status eg_buffer_fill(struct eg_buffer *buffer,
                              uint8_t value,
                              void *stream);

// Frees a buffer, after the work that uses it. NULL is ordinary.
//
// # Safety
//
// `buffer` is NULL, or came from this library and is not used again.
void eg_buffer_free(struct eg_buffer *buffer);

// Writes why this kernel was chosen, with its tile and grid, as `snprintf` does: at most `capacity` bytes, the last one 0.
// Returns the length of the whole text without the 0, or 0 after a refusal.
//
// # Safety
//
// `plan` is NULL or live; `buffer` is NULL, or to `capacity` bytes.
size_t eg_plan_explain(const struct eg_plan *plan,
                       char *buffer,
                       size_t capacity);

// Ends a plan. Launches that are under way go on. NULL is ordinary.
//
// # Safety
//
// `plan` is NULL, or came from this library and is not used again.
void eg_plan_free(struct eg_plan *plan);

// Writes what the bits of a status word say about the group tables, separated by `; `, as `snprintf` does: at most `capacity`
// bytes, the last one 0. Returns the length of the whole text without the 0; it is 0 for a word of 0.
//
// # Safety
//
// `buffer` is NULL, or to `capacity` bytes.
size_t eg_group_status_text(uint32_t status,
                            char *buffer,
                            size_t capacity);

// Checks the shapes, chooses a kernel and loads it. Call it outside of any graph capture: if `stream`, where the plan
// will be launched, is being captured and the kernel is not loaded yet, the answer is `EG_STATUS_WRONG_ORDER`. After a
// refusal `*plan` is NULL.
//
// # Safety
//
// `device` and `problem` are NULL or live, `stream` is NULL or a stream of the device, `plan` is NULL or to a pointer.
enum eg_status eg_fp8_grouped_mm_prepare(const struct eg_device *device,
                                         const struct eg_fp8_grouped_mm *problem,
                                         void *stream,
                                         struct eg_plan **plan);

// As `eg_fp8_grouped_mm_prepare`, for calls that use about `expected_rows` of the rows, all experts together: where there is
// room for more, as in a graph that is captured for the largest batch. It decides speed alone: whatever the tables say,
// up to all rows, results are right.
//
// # Safety
//
// As `eg_fp8_grouped_mm_prepare`.
enum eg_status eg_fp8_grouped_mm_prepare_expecting(const struct eg_device *device,
                                                   const struct eg_fp8_grouped_mm *problem,
                                                   uint64_t expected_rows,
                                                   void *stream,
                                                   struct eg_plan **plan);

// Checks the tensors and puts one kernel into `stream` (a `CUstream` or `cudaStream_t`; NULL for the default stream). It
// allocates nothing, waits for nothing, and may be captured into a graph. The CPU ignores the stream and returns when
// it is done.
//
// # Safety
//
// `plan` and `tensors` are NULL or live; `stream` is NULL or a stream of the plan's device; the tensors are memory of that device, of their
// shapes, and until the work is done they stay allocated, nothing writes them, and nothing reads `output` and `status`.
enum eg_status eg_fp8_grouped_mm_launch(const struct eg_plan *plan,
                                        void *stream,
                                        const struct eg_fp8_grouped_mm_tensors *tensors);

// As `eg_fp8_grouped_mm_prepare`.
//
// # Safety
//
// `device` and `problem` are NULL or live, `stream` is NULL or a stream of the device, `plan` is NULL or to a pointer.
enum eg_status eg_mxfp8_grouped_mm_prepare(const struct eg_device *device,
                                           const struct eg_mxfp8_grouped_mm *problem,
                                           void *stream,
                                           struct eg_plan **plan);

// As `eg_fp8_grouped_mm_prepare_expecting`.
//
// # Safety
//
// As `eg_mxfp8_grouped_mm_prepare`.
enum eg_status eg_mxfp8_grouped_mm_prepare_expecting(const struct eg_device *device,
                                                     const struct eg_mxfp8_grouped_mm *problem,
                                                     uint64_t expected_rows,
                                                     void *stream,
                                                     struct eg_plan **plan);

// As `eg_fp8_grouped_mm_launch`.
//
// # Safety
//
// As `eg_fp8_grouped_mm_launch`.
enum eg_status eg_mxfp8_grouped_mm_launch(const struct eg_plan *plan,
                                          void *stream,
                                          const struct eg_mxfp8_grouped_mm_tensors *tensors);

// Scale rows that are enough however `rows` rows are split among the experts.
uint64_t eg_mxfp8_max_scale_rows(uint64_t rows, uint64_t experts);

// As `eg_fp8_grouped_mm_prepare`.
//
// # Safety
//
// `device` and `problem` are NULL or live, `stream` is NULL or a stream of the device, `plan` is NULL or to a pointer.
enum eg_status eg_mxfp8_grouped_quant_prepare(const struct eg_device *device,
                                              const struct eg_mxfp8_grouped_quant *problem,
                                              void *stream,
                                              struct eg_plan **plan);

// As `eg_fp8_grouped_mm_launch`.
//
// # Safety
//
// As `eg_fp8_grouped_mm_launch`, where `quant_output` and `scale_factor` are written too.
enum eg_status eg_mxfp8_grouped_quant_launch(const struct eg_plan *plan,
                                             void *stream,
                                             const struct eg_mxfp8_grouped_quant_tensors *tensors);

// Brings the row-major scales `[rows, K / 32]` of one matrix in host memory into atoms, and completes the last ones with 0.
// The weights of all experts are such a matrix, of E x N rows. `atoms` has `rows`, rounded up to 128, times K / 32 bytes.
//
// # Safety
//
// Both pointers are NULL, or to as many bytes as this says; they do not overlap.
enum eg_status eg_mxfp8_swizzle_scales(uint64_t rows,
                                       uint64_t k,
                                       const uint8_t *row_major,
                                       uint8_t *atoms);

// Brings the scales of one matrix in atoms into row-major ones `[rows, K / 32]`: the way back.
//
// # Safety
//
// As `eg_mxfp8_swizzle_scales`.
enum eg_status eg_mxfp8_unswizzle_scales(uint64_t rows, uint64_t k, const uint8_t *atoms, uint8_t *row_major);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* EXPERT_GEMM_H */
