/// What the server says, as far as the page reads it.

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details?: { cached_tokens?: number; image_tokens?: number };
}

export interface Timings {
  queue_ms?: number;
  image_fetch_ms?: number;
  image_decode_ms?: number;
  image_preprocess_ms?: number;
  image_encode_ms?: number;
  prefill_ms?: number;
  first_token_ms?: number;
  decode_ms?: number;
  tokens_per_second?: number;
}

export interface PromptProgress {
  images_done: number;
  images: number;
  tokens_done: number;
  tokens: number;
}

export interface ServerError {
  message: string;
  type?: string | null;
  param?: string | null;
  code?: string | number | null;
}

/// A token with the logarithm of its probability; `bytes` where its text is not whole letters.
export interface TokenLogprob {
  token: string;
  logprob: number;
  bytes?: number[] | null;
  top_logprobs?: Omit<TokenLogprob, 'top_logprobs'>[];
}

export interface ChatChunk {
  choices?: {
    delta?: { content?: string | null };
    logprobs?: { content?: TokenLogprob[] | null } | null;
    finish_reason?: string | null;
  }[];
  usage?: Usage | null;
  timings?: Timings;
  prompt_progress?: PromptProgress;
  error?: ServerError | string;
}

export interface ModelInfo {
  id: string;
  context_length?: number;
  image_tokens?: number;
  input_modalities?: string[];
}

export interface Props {
  model?: string;
  version?: string;
  context_tokens?: number;
  image_tokens?: number;
  tp?: number;
  threads_per_card?: number;
  isa?: string;
  dtype?: string;
  weights?: string;
  kv_cache?: string;
  limits?: {
    max_images?: number;
    max_image_bytes?: number;
    max_image_pixels?: number;
    max_body_bytes?: number;
    max_n?: number;
  };
  auth?: boolean;
}

export type ContentPart =
  { type: 'text'; text: string } | { type: 'image_url'; image_url: { url: string } };

export interface ApiMessage {
  role: 'system' | 'user' | 'assistant';
  content: string | ContentPart[];
}
